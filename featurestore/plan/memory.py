"""What a new version of a view takes in the online store while the one before is still there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["PastPublication", "online_bytes"]

_REDIS_BYTES_A_KEY = 98
"""What Redis 6.2 and 7 add to a key and value of docs/formats.md: 536 B for 14 + 424 B."""


class PastPublication(Protocol):
    """A publication as the estimate sees it; ``bytes_sent`` has keys and values."""

    @property
    def sent(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...


def online_bytes(publications: Iterable[PastPublication]) -> int | None:
    """Estimate a version's bytes in Redis from what was published of it; None where nothing was.

    The largest publication stands for the number of entities: the first one sends them all, the others what changed.
    """
    done = [publication for publication in publications if publication.sent]
    if not done:
        return None
    largest = max(done, key=lambda publication: publication.sent)
    return largest.bytes_sent + largest.sent * _REDIS_BYTES_A_KEY
