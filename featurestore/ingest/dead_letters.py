"""Rows that writes set aside because they were invalid."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from featurestore.codec.keys import dead_letter_key
from featurestore.ingest.checks import Checks
from featurestore.ingest.frames import Frame
from featurestore.intervals import show_instant
from featurestore.stores.base import OnlineStore

__all__ = ["DEAD_LETTERS_KEPT", "DeadLetters"]

DEAD_LETTERS_KEPT = 100_000


class DeadLetters:
    """A project's log of invalid rows, of which about the last ``DEAD_LETTERS_KEPT`` stay."""

    def __init__(self, store: OnlineStore, project: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._key = dead_letter_key(project)
        self._clock = clock

    def add(self, target: str, frame: Frame, checks: Checks) -> None:
        """Append the invalid rows of a write to ``target``. Not idempotent: a replay is in the log twice."""
        reasons = checks.reasons()
        if not reasons:
            return
        at = show_instant(self._clock())
        entries = [
            json.dumps(
                {"view": target, "row": _row(frame, row), "problems": problems, "at": at}, default=str, sort_keys=True
            ).encode()
            for row, problems in sorted(reasons.items())
        ]
        self._store.append_entries(self._key, entries, keep=DEAD_LETTERS_KEPT)

    def last(self, count: int) -> list[dict[str, Any]]:
        """Give the rows that were set aside last, the newest first: view, row, problems, at."""
        return [json.loads(entry) for entry in self._store.entries(self._key, last=count)]


def _row(frame: Frame, row: int) -> dict[str, Any]:
    found = {}
    for name, column in frame.columns.items():
        item = column[row]
        found[name] = item.as_py() if isinstance(item, pa.Scalar) else item
    return found
