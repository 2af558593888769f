"""Locks over rows: who may make the value of a key anew, so that of many who miss it one does the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from featurestore.stores.base import WriteCount

__all__ = ["COOLDOWN", "Claims", "Held", "RowClaim", "RowLocks", "RowResult"]

COOLDOWN = b"!"
"""What lies in a lock's place after a failure. A token never starts with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowClaim:
    """Ask for the lock over ``key``; ``seen`` is the stamp of the value that was read, empty where there was none."""

    key: bytes
    seen: bytes


class Held(Enum):
    """How a claim went, where the row is as it was seen."""

    TAKEN = 1
    """The lock is the caller's."""
    BY_OTHERS = 0
    """Another holds it."""
    COOLING = 2
    """The last attempt failed a moment ago: nobody is to try yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """An answer for each claim: how it went, or the value that was written since the caller read the row
    (empty where it was removed).

    ``time_us`` is the store's time when the claims were judged.
    """

    answers: Sequence[Held | bytes]
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What became of a claimed row: its new value, None where there is none."""

    key: bytes
    value: bytes | None
    failed: bool = False


class RowLocks(Protocol):
    """Locks end by themselves, so a holder that died holds nobody up for longer than the lock's seconds."""

    def claim(self, rows: Sequence[RowClaim], token: bytes, *, seconds: float, deadline: float | None = None) -> Claims:
        """Take the locks that are free, of rows that are as they were seen; each row is judged atomically."""
        ...

    def renew(self, keys: Sequence[bytes], token: bytes, *, seconds: float) -> int:
        """Let the caller's locks last from now; give how many are still the caller's."""
        ...

    def settle(self, results: Sequence[RowResult], token: bytes, *, cooldown: float = 0) -> WriteCount:
        """Write values by compare-and-set, whoever holds the lock now, and end the caller's locks.

        A failed row's lock, if no other took it, turns into a cooldown of so many seconds.
        """
        ...
