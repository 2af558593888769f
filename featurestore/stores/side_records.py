"""What the runtime and writers ask of an online store beside values: sets of keys, logs, a rate, expiry, a scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

__all__ = ["SideRecords"]


class SideRecords(Protocol):
    """Records under keys of their own; ``OnlineStore.delete`` removes them like values."""

    def add_members(self, key: bytes, members: Sequence[bytes]) -> None:
        """Add to the set at ``key``; members that are there already change nothing."""
        ...

    def members(self, key: bytes) -> Iterator[list[bytes]]:
        """Give the members of a set in bounded lots; one that stays throughout is given at least once."""
        ...

    def append_entries(self, key: bytes, entries: Sequence[bytes], *, keep: int) -> None:
        """Append to the log at ``key``, which keeps about the last ``keep`` entries."""
        ...

    def entries(self, key: bytes, *, last: int) -> list[bytes]:
        """Give the last entries of a log, the newest first."""
        ...

    def reserve(self, key: bytes, amount: int, *, per_second: int) -> float:
        """Take ``amount`` out of the rate that all who name ``key`` share; give the seconds to wait before using it.

        Turns are given in the order of the calls, so senders of one rate get equal shares. Nothing is saved up: who
        was idle may use one amount at once. A sender that dies with its turn costs the others that turn alone.
        """
        ...

    def extend_expiry(self, keys: Sequence[bytes], expire_at_ms: Sequence[int]) -> None:
        """Let keys that expire live until the given Unix times in ms, or for ever (0), never shorter than before."""
        ...

    def scan(self, pattern: bytes, *, lot: int) -> Iterator[list[bytes]]:
        """Give the keys that match a glob, in lots of about ``lot`` keys looked at; the caller sets the pace.

        Looks at every key of the server, of all primaries of a cluster.
        """
        ...
