"""Which online store a project's settings mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.embedded.redis_server import redis_socket_path
from featurestore.settings import Settings
from featurestore.stores.base import AsyncOnlineReader, OnlineStore
from featurestore.stores.redis.address import parse_address

__all__ = ["OnlineAddress", "connect_online"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineAddress:
    """Where the online store is: hashable and picklable, so that Spark's workers connect for themselves."""

    kind: str
    url: str
    deadline_seconds: float
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> OnlineAddress:
        """Take the configured address, else the project's own server on its unix socket.

        SettingsError for a connection string or an option that is wrong.
        """
        if settings.redis_url is not None or settings.redis_options:
            parse_address(settings.redis_url or "unix:///", settings.redis_options)
        return cls(
            kind=settings.online_type,
            url=settings.redis_url or f"unix://{redis_socket_path(settings.redis_folder)}",
            deadline_seconds=settings.deadline.total_seconds(),
            options=tuple(sorted((name, _hashable(value)) for name, value in settings.redis_options.items())),
        )

    def connect(self, *, for_lookups: bool = False) -> OnlineStore:
        """Open the store; the connection is made with the first command.

        Lookups alone read from replicas, where the settings say so: a publication checks what it wrote.
        """
        if self.kind == "memory":
            from featurestore.stores.memory import MemoryOnlineStore

            return MemoryOnlineStore()
        from featurestore.stores.redis.store import RedisOnlineStore

        return RedisOnlineStore.connect(self.url, **self._redis_options(for_lookups=for_lookups))

    def connect_async(self) -> AsyncOnlineReader:
        """Open the store's reader for asyncio; the connection is made with the first read."""
        if self.kind == "memory":
            from featurestore.stores.memory_aio import AsyncMemoryOnlineStore

            return AsyncMemoryOnlineStore()
        from featurestore.stores.redis.aio import AsyncRedisOnlineStore

        return AsyncRedisOnlineStore.connect(self.url, **self._redis_options(for_lookups=True))

    def _redis_options(self, *, for_lookups: bool) -> dict[str, Any]:
        options = {"deadline": self.deadline_seconds, **dict(self.options)}
        return options if for_lookups else {**options, "read_from": "primary"}


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def connect_online(settings: Settings, *, for_lookups: bool = False) -> OnlineStore:
    """Open the store that the settings mean, as ``OnlineAddress.connect`` does."""
    return OnlineAddress.of(settings).connect(for_lookups=for_lookups)
