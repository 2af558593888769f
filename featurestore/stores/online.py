"""Which online store a project's settings mean."""

from __future__ import annotations

from featurestore.embedded.redis_server import socket_url
from featurestore.settings import Settings
from featurestore.stores.base import OnlineStore

__all__ = ["connect_online", "online_url"]


def online_url(settings: Settings) -> str:
    """Give the Redis address: the configured one, else the project's own server on its unix socket."""
    return settings.redis_url or socket_url(settings.state_path)


def connect_online(settings: Settings) -> OnlineStore:
    """Open the online store; connecting happens with the first command."""
    if settings.online_type == "memory":
        from featurestore.stores.memory import MemoryOnlineStore

        return MemoryOnlineStore()
    from featurestore.stores.redis import RedisOnlineStore

    return RedisOnlineStore.connect(
        online_url(settings), deadline=settings.deadline.total_seconds(), **settings.redis_options
    )
