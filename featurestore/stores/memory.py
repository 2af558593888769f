"""The online store in this process's memory: for tests and trials, with the same rules as Redis."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from featurestore.codec.keys import lock_key
from featurestore.codec.stamp import STAMP_BYTES, is_newer
from featurestore.errors import DeadlineExceeded
from featurestore.intervals import to_micros, utc_now
from featurestore.stores.base import WriteCount
from featurestore.stores.row_locks import COOLDOWN, Claims, Held, RowClaim, RowResult

__all__ = ["MemoryOnlineStore", "MemoryRowLocks"]

_LOT = 2_048


class MemoryOnlineStore:
    """Packed values in a dict. Safe for threads; ``clock`` judges expiry and is the store's time."""

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[bytes, bytes] = {}
        self._expire_at_ms: dict[bytes, int] = {}
        self._project_ids: dict[str, int] = {}
        self._turns: dict[bytes, int] = {}
        self._sets: dict[bytes, dict[bytes, None]] = {}
        self._logs: dict[bytes, list[bytes]] = {}

    def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order."""
        if deadline is not None and deadline <= 0:
            raise DeadlineExceeded("the read was not made: the deadline had passed")
        with self._lock:
            return [self._get(key) for key in keys]

    def write_if_newer(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        expire_at_ms: Sequence[int] | None = None,
        are_new: bool = False,
    ) -> WriteCount:
        """Replace each value iff the new one is greater by event, created and digest. Replays do nothing."""
        expiries = [0] * len(pairs) if expire_at_ms is None else expire_at_ms
        if len(expiries) != len(pairs):
            raise ValueError(
                f"expire_at_ms has {len(expiries)} times for {len(pairs)} pairs; give one for each, 0 for none"
            )
        written = 0
        with self._lock:
            for (key, value), expiry in zip(pairs, expiries, strict=True):
                if is_newer(value, self._get(key)):
                    self._set(key, value, int(expiry))
                    written += 1
        size = sum(len(key) + len(value) for key, value in pairs)
        return WriteCount(written=written, ignored=len(pairs) - written, bytes_sent=size)

    def put_record(self, key: bytes, value: bytes) -> None:
        """Set a small record without comparing."""
        with self._lock:
            self._set(key, value, 0)

    def replace_record(self, key: bytes, expected: bytes | None, value: bytes) -> bool:
        """Set a record iff it still holds ``expected`` (None: nothing); say whether it did."""
        with self._lock:
            if self._get(key) != expected:
                return False
            self._set(key, value, 0)
            return True

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove keys; give how many there were."""
        with self._lock:
            found = 0
            for key in keys:
                found += self._get(key) is not None or key in self._sets or key in self._logs
                self._drop(key)
            return found

    def add_members(self, key: bytes, members: Sequence[bytes]) -> None:
        """Add to the set at ``key``; members that are there already change nothing."""
        with self._lock:
            self._sets.setdefault(key, {}).update(dict.fromkeys(members))

    def members(self, key: bytes) -> Iterator[list[bytes]]:
        """Give the members of a set in bounded lots."""
        with self._lock:
            found = list(self._sets.get(key, ()))
        for start in range(0, len(found), _LOT):
            yield found[start : start + _LOT]

    def append_entries(self, key: bytes, entries: Sequence[bytes], *, keep: int) -> None:
        """Append to the log at ``key``, which keeps the last ``keep`` entries."""
        with self._lock:
            self._logs[key] = [*self._logs.get(key, ()), *entries][-keep:]

    def entries(self, key: bytes, *, last: int) -> list[bytes]:
        """Give the last entries of a log, the newest first."""
        with self._lock:
            return self._logs.get(key, [])[::-1][:last]

    def reserve(self, key: bytes, amount: int, *, per_second: int) -> float:
        """Take ``amount`` out of the rate that all who name ``key`` share; give the seconds to wait before using it."""
        with self._lock:
            now = to_micros(self._clock())
            turn = max(self._turns.get(key, 0), now)
            self._turns[key] = turn - (-amount * 1_000_000 // per_second)
            return (turn - now) / 1e6

    def extend_expiry(self, keys: Sequence[bytes], expire_at_ms: Sequence[int]) -> None:
        """Let keys that expire live until the given Unix times in ms, or for ever (0), never shorter than before."""
        with self._lock:
            for key, expiry in zip(keys, expire_at_ms, strict=True):
                if self._get(key) is not None and key in self._expire_at_ms:
                    longest = max(expiry, self._expire_at_ms.pop(key))
                    if expiry:
                        self._expire_at_ms[key] = longest

    def scan(self, pattern: bytes, *, lot: int) -> Iterator[list[bytes]]:
        """Give the keys that match a glob, in lots; the caller sets the pace."""
        glob = _glob(pattern)
        with self._lock:
            keys = [key for key in self._values if glob.fullmatch(key)]
        for start in range(0, len(keys), lot):
            yield keys[start : start + lot]

    def time_micros(self) -> int:
        return to_micros(self._clock())

    def project_id(self, name: str) -> int:
        """Give the number that the project's keys carry, allotted at the first call; no two names share one."""
        if not name:
            raise ValueError("a project's name is not empty")
        with self._lock:
            return self._project_ids.setdefault(name, len(self._project_ids) + 1)

    def row_locks(self) -> MemoryRowLocks:
        """Give the locks over this store's rows."""
        return MemoryRowLocks(self)

    def check_eviction_policy(self) -> None:
        """Do nothing: memory never evicts."""

    def close(self) -> None:
        """Do nothing: the values live as long as the store."""

    def _get(self, key: bytes) -> bytes | None:
        expiry = self._expire_at_ms.get(key)
        if expiry is not None and to_micros(self._clock()) >= expiry * 1000:
            self._drop(key)
        return self._values.get(key)

    def _set(self, key: bytes, value: bytes, expire_at_ms: int) -> None:
        self._values[key] = value
        if expire_at_ms:
            self._expire_at_ms[key] = expire_at_ms
        else:
            self._expire_at_ms.pop(key, None)

    def _drop(self, key: bytes) -> None:
        self._sets.pop(key, None)
        self._logs.pop(key, None)
        self._values.pop(key, None)
        self._expire_at_ms.pop(key, None)


class MemoryRowLocks:
    """Locks of the store's clock: they end when it passes their time."""

    def __init__(self, store: MemoryOnlineStore) -> None:
        self._store = store

    def claim(self, rows: Sequence[RowClaim], token: bytes, *, seconds: float, deadline: float | None = None) -> Claims:
        """Take the locks that are free, of rows that are as they were seen."""
        with self._store._lock:
            now_us = self._store.time_micros()
            return Claims(answers=[self._claim(row, token, self._ends_ms(seconds)) for row in rows], time_us=now_us)

    def renew(self, keys: Sequence[bytes], token: bytes, *, seconds: float) -> int:
        """Let the caller's locks last from now; give how many are still the caller's."""
        with self._store._lock:
            mine = [lock for lock in map(lock_key, keys) if self._store._get(lock) == token]
            for lock in mine:
                self._store._set(lock, token, self._ends_ms(seconds))
            return len(mine)

    def settle(self, results: Sequence[RowResult], token: bytes, *, cooldown: float = 0) -> WriteCount:
        """Write values by compare-and-set, and end the caller's locks."""
        count = WriteCount()
        for result in results:
            if result.value is not None:
                count += self._store.write_if_newer([(result.key, result.value)])
            with self._store._lock:
                lock = lock_key(result.key)
                held = self._store._get(lock)
                if result.failed and cooldown and held in (None, token):
                    self._store._set(lock, COOLDOWN, self._ends_ms(cooldown))
                elif held == token:
                    self._store._drop(lock)
        return count

    def _claim(self, row: RowClaim, token: bytes, ends_ms: int) -> Held | bytes:
        value = self._store._get(row.key)
        if (value or b"")[:STAMP_BYTES] != row.seen:
            return value or b""
        lock = lock_key(row.key)
        held = self._store._get(lock)
        if held in (None, token):
            self._store._set(lock, token, ends_ms)
            return Held.TAKEN
        return Held.COOLING if held == COOLDOWN else Held.BY_OTHERS

    def _ends_ms(self, seconds: float) -> int:
        return self._store.time_micros() // 1000 + round(seconds * 1000)


def _glob(pattern: bytes) -> re.Pattern[bytes]:
    """Read the part of Redis' globs that keys are asked for by: ``*``, ``?`` and escaped bytes."""
    parts = re.findall(rb"\\.|.", pattern, re.DOTALL)
    wild = {b"*": b".*", b"?": b"."}
    return re.compile(b"".join(wild.get(part) or re.escape(part[-1:]) for part in parts), re.DOTALL)
