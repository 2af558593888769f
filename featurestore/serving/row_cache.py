"""Values that this process has read a moment ago: an optional cache with a bounded age and size."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

__all__ = ["CacheOptions", "RowCache"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """``max_age`` 0, as by default, reads anew each time; a call may say otherwise."""

    max_age: timedelta = timedelta(0)
    max_rows: int = 100_000


class RowCache:
    """The newest values by key, all read together with one pointer record: another record empties it.

    So what comes from it is what one moment of the project looked like, at most an age ago that the reader names.
    Absent rows are held too. At most ``max_rows`` rows; those that were read first go first. Threads may share it.
    """

    def __init__(self, *, max_rows: int) -> None:
        self._max_rows = max_rows
        self._record: bytes | None = None
        self._confirmed_us = 0
        self._rows: dict[bytes, tuple[bytes | None, int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def find(
        self, record: bytes | None, keys: Sequence[bytes], *, now_us: int, max_age: timedelta
    ) -> dict[bytes, bytes | None]:
        """Give what is held of these keys and not older than ``max_age``; nothing for another record.

        All keys are given only if the record itself was seen within that age.
        """
        limit = max_age // _MICROSECOND
        with self._lock:
            if record != self._record:
                return {}
            found = {}
            for key in keys:
                held = self._rows.get(key)
                if held is not None and 0 <= now_us - held[1] <= limit:
                    found[key] = held[0]
            return found

    def is_confirmed(self, *, now_us: int, max_age: timedelta) -> bool:
        """Say whether the record was read within this age."""
        return 0 <= now_us - self._confirmed_us <= max_age // _MICROSECOND

    def put(self, record: bytes | None, keys: Sequence[bytes], values: Sequence[bytes | None], *, now_us: int) -> None:
        """Hold what was read together with ``record``, by a read that began at ``now_us``."""
        with self._lock:
            if record != self._record:
                self._record = record
                self._rows.clear()
            self._confirmed_us = now_us
            for key, value in zip(keys, values, strict=True):
                self._rows.pop(key, None)
                self._rows[key] = value, now_us
            if len(self._rows) > self._max_rows:
                for key in list(islice(self._rows, len(self._rows) - self._max_rows)):
                    del self._rows[key]

    def drop(self, keys: Sequence[bytes]) -> None:
        """Forget these keys."""
        with self._lock:
            for key in keys:
                self._rows.pop(key, None)
