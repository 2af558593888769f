"""Whether cached predictions are fresh: by version, age and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from featurestore.codec.digest import inputs_digest, stamps_digest
from featurestore.codec.rows import FEW_ROWS
from featurestore.ir.columns import INPUTS_DIGEST
from featurestore.serving.rows import ViewRows
from featurestore.serving.snapshot import BoundPrediction

__all__ = ["PREDICTION_STATUSES", "Freshness", "JudgedRows", "PredictionStatus"]

_MICROSECOND = timedelta(microseconds=1)


class PredictionStatus(StrEnum):
    """Where a prediction comes from: the cache (fresh or not), inference in this call, or nowhere."""

    CACHED = "CACHED"
    STALE = "STALE"
    MISSING = "MISSING"
    LIVE = "LIVE"
    FAILED = "FAILED"


PREDICTION_STATUSES = tuple(PredictionStatus)
CACHED, STALE, MISSING, LIVE, FAILED = range(5)
"""Places in PredictionStatus, as arrays hold them."""


@dataclass(slots=True, kw_only=True)
class JudgedRows:
    """What is known of each row; ``older`` marks those that the previous version stands in for."""

    present: np.ndarray[Any, Any]
    event: np.ndarray[Any, Any]
    predicted: np.ndarray[Any, Any]
    until: np.ndarray[Any, Any]
    older: np.ndarray[Any, Any] | None
    codes: np.ndarray[Any, Any]


class Freshness:
    """Judges the rows of one prediction view at ``now_us``.

    Fresh are rows (1) of the current version, (2) whose age, counted from the later of predicted_at and, while the
    inputs are unchanged, the last scoring step, is within ``max_age``, and (3) whose inputs are unchanged, which
    nothing is held to while the scoring of published inputs is still to come. ``stale_on`` switches each rule.
    Where all rows are fresh, each is judged only if it is asked about.
    """

    def __init__(self, bound: BoundPrediction, rows: Sequence[ViewRows], now_us: int) -> None:
        plan = bound.plan
        self._bound = bound
        self._view = plan.view
        self._own = rows[plan.read].decoded
        self._inputs = [rows[index].decoded for index in plan.inputs]
        self._previous_rows = None if plan.previous is None else rows[plan.previous]
        self._awaits_scoring = bound.graced_until_us is not None and now_us <= bound.graced_until_us
        self._now = now_us

    @cached_property
    def digest(self) -> np.ndarray[Any, Any] | None:
        """Give the digest of each row's inputs as they were read just now; None for a view without inputs."""
        if not self._inputs:
            return None
        common = self._common_digest()
        if common is not None:
            return np.full(self._own.count, common)
        return inputs_digest([rows.header() for rows in self._inputs])

    def is_all_fresh(self) -> bool:
        """Say whether every row is there and fresh; mostly the oldest tells for all."""
        return self._are_oldest_fresh() or not self.judged.codes.any()

    def _are_oldest_fresh(self) -> bool:
        own, view = self._own, self._view
        if own.places is not None:
            return False
        is_unchanged = not self._inputs or self._are_inputs_unchanged()
        if not is_unchanged and "inputs" in view.stale_on and not self._awaits_scoring:
            return False
        known = own.oldest_created_us
        if known is not None and "age" in view.stale_on and view.max_age:
            if is_unchanged and self._bound.scored_until_us is not None:
                known = max(known, self._bound.scored_until_us)
            return self._now - known <= view.max_age // _MICROSECOND
        return True

    def _common_digest(self) -> int | None:
        """Give the digest that all rows share where all rows of each input share a stamp and none is absent."""
        stamps: list[bytes | None] = []
        for rows in self._inputs:
            stamp = rows.common_stamp if rows.places is None else None
            if stamp is None:
                return None
            stamps.append(stamp)
        return stamps_digest(tuple(stamps))

    def _are_inputs_unchanged(self) -> bool:
        """Compare the digests of all rows, none of which is absent."""
        own = self._own
        number = own.layout.numbers[INPUTS_DIGEST]
        at = own.layout.offsets[number]
        digest = self._common_digest()
        if digest is not None and own.count == 1:
            return int.from_bytes(own.packed[at : at + 8], "little", signed=True) == digest
        if own.count > FEW_ROWS:
            stored = own.heads[f"c{number}"]
            if digest is not None:
                return bool(stored.tobytes() == digest.to_bytes(8, "little", signed=True) * own.count)
            return bool((stored == self.digest).all())
        stamps = zip(*(rows.stamps() for rows in self._inputs), strict=True)
        return all(
            int.from_bytes(blob[at : at + 8], "little", signed=True) == stamps_digest(row)
            for blob, row in zip(own.kept, stamps, strict=True)
        )

    @cached_property
    def judged(self) -> JudgedRows:
        """Judge each row by itself."""
        own, digest = self._own, self.digest
        present, event, predicted = own.present, own.event_us, own.created_us
        stored = own.columns[INPUTS_DIGEST].values if digest is not None else None
        older: np.ndarray[Any, Any] | None = None
        if self._previous_rows is not None and own.places is not None:
            previous = self._previous_rows.decoded
            taken = previous.present & ~present
            if taken.any():
                older = taken
                event = np.where(taken, previous.event_us, event)
                predicted = np.where(taken, previous.created_us, predicted)
                present = present | taken
                if stored is not None:
                    stored = np.where(taken, previous.columns[INPUTS_DIGEST].values, stored)
        unchanged = None if stored is None else stored == digest
        until = predicted
        if self._bound.scored_until_us is not None:
            scored = np.maximum(predicted, self._bound.scored_until_us)
            until = scored if unchanged is None else np.where(unchanged, scored, predicted)
            if older is not None:  # the scoring was of the current version
                until = np.where(older, predicted, until)
        stale = self._find_stale(present, until, unchanged, older)
        codes = np.where(present, np.int8(CACHED), np.int8(MISSING))
        codes[stale] = STALE
        return JudgedRows(present=present, event=event, predicted=predicted, until=until, older=older, codes=codes)

    def _find_stale(
        self,
        present: np.ndarray[Any, Any],
        until: np.ndarray[Any, Any],
        unchanged: np.ndarray[Any, Any] | None,
        older: np.ndarray[Any, Any] | None,
    ) -> np.ndarray[Any, Any]:
        view = self._view
        stale = np.zeros(len(present), dtype=bool)
        if "age" in view.stale_on and view.max_age:
            stale |= self._now - until > view.max_age // _MICROSECOND
        if "inputs" in view.stale_on and unchanged is not None and not self._awaits_scoring:
            stale |= ~unchanged
        if "version" in view.stale_on and older is not None:
            stale |= older
        stale &= present
        return stale
