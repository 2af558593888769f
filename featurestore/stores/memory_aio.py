"""The in-memory store as lookups inside an event loop see it."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.stores.memory import MemoryOnlineStore

__all__ = ["AsyncMemoryOnlineStore"]


class AsyncMemoryOnlineStore:
    """What lookups read from a ``MemoryOnlineStore`` inside an event loop."""

    def __init__(self, store: MemoryOnlineStore | None = None) -> None:
        self._store = store or MemoryOnlineStore()

    async def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order."""
        return self._store.read(keys, deadline=deadline)

    async def close(self) -> None:
        """Do nothing: the values live as long as the store."""
