"""What the runtime and writers ask of an online store beside values: sets of keys, and logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

__all__ = ["KeySets"]


class KeySets(Protocol):
    """Sets and logs under keys of their own; ``OnlineStore.delete`` removes them like values."""

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
