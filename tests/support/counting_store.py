"""An online store that counts the round trips to another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featurestore.stores.base import OnlineStore, WriteCount
from featurestore.stores.row_locks import Claims, RowClaim, RowLocks, RowResult

__all__ = ["CountingLocks", "CountingStore"]


class CountingStore:
    """Counts the round trips to another store."""

    def __init__(self, inner: OnlineStore) -> None:
        self._inner = inner
        self.reads: list[int] = []
        self.claims = 0
        self.writes = 0

    def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        self.reads.append(len(keys))
        return self._inner.read(keys, deadline=deadline)

    def write_if_newer(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        expire_at_ms: Sequence[int] | None = None,
        are_new: bool = False,
    ) -> WriteCount:
        self.writes += 1
        return self._inner.write_if_newer(pairs, expire_at_ms=expire_at_ms, are_new=are_new)

    def put_record(self, key: bytes, value: bytes) -> None:
        self._inner.put_record(key, value)

    def replace_record(self, key: bytes, expected: bytes | None, value: bytes) -> bool:
        return self._inner.replace_record(key, expected, value)

    def delete(self, keys: Sequence[bytes]) -> int:
        return self._inner.delete(keys)

    def row_locks(self) -> CountingLocks:
        return CountingLocks(self, self._inner.row_locks())

    def add_members(self, key: bytes, members: Sequence[bytes]) -> None:
        self._inner.add_members(key, members)

    def members(self, key: bytes) -> Iterator[list[bytes]]:
        return self._inner.members(key)

    def append_entries(self, key: bytes, entries: Sequence[bytes], *, keep: int) -> None:
        self._inner.append_entries(key, entries, keep=keep)

    def entries(self, key: bytes, *, last: int) -> list[bytes]:
        return self._inner.entries(key, last=last)

    def reserve(self, key: bytes, amount: int, *, per_second: int) -> float:
        return self._inner.reserve(key, amount, per_second=per_second)

    def extend_expiry(self, keys: Sequence[bytes], expire_at_ms: Sequence[int]) -> None:
        self._inner.extend_expiry(keys, expire_at_ms)

    def scan(self, pattern: bytes, *, lot: int) -> Iterator[list[bytes]]:
        return self._inner.scan(pattern, lot=lot)

    def time_micros(self) -> int:
        return self._inner.time_micros()

    def project_id(self, name: str) -> int:
        return self._inner.project_id(name)

    def close(self) -> None:
        self._inner.close()


class CountingLocks:
    """Counts write-backs as writes of the store."""

    def __init__(self, store: CountingStore, inner: RowLocks) -> None:
        self.store = store
        self._inner = inner

    def claim(self, rows: Sequence[RowClaim], token: bytes, *, seconds: float, deadline: float | None = None) -> Claims:
        self.store.claims += 1
        return self._inner.claim(rows, token, seconds=seconds, deadline=deadline)

    def renew(self, keys: Sequence[bytes], token: bytes, *, seconds: float) -> int:
        return self._inner.renew(keys, token, seconds=seconds)

    def settle(self, results: Sequence[RowResult], token: bytes, *, cooldown: float = 0) -> WriteCount:
        self.store.writes += 1
        return self._inner.settle(results, token, cooldown=cooldown)
