"""The online store on Redis for asyncio: what lookups and the write-back of predictions need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from featurestore.stores.base import WriteCount
from featurestore.stores.redis.address import RedisAddress, parse_address
from featurestore.stores.redis.aio_connection import AsyncConnectionPool
from featurestore.stores.redis.aio_servers import AsyncServers
from featurestore.stores.redis.call import Call, Request
from featurestore.stores.redis.errors import Failure, Late, translate
from featurestore.stores.redis.requests import (
    KEYS_PER_SCRIPT,
    TRY_AGAIN,
    Group,
    Reading,
    script_rounds,
    write_rounds,
)
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.slots import group_places

__all__ = ["AsyncRedisOnlineStore"]


class AsyncRedisOnlineStore:
    """Packed values in Redis, by the rules of ``RedisOnlineStore``; for the tasks of one event loop at a time.

    A task that is cancelled leaves no connection with unread replies behind. Nothing is opened before the first call;
    in another event loop than that of the call before it opens connections anew.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._redis = address
        self._servers = AsyncServers(address)
        self._by_slot = self._servers.topology.has_slots

    @classmethod
    def connect(cls, url: str, **options: Any) -> AsyncRedisOnlineStore:
        """Make a store for a connection string, as ``RedisOnlineStore.connect`` does."""
        return cls(parse_address(url, options))

    def __reduce__(self) -> tuple[object, ...]:
        return (AsyncRedisOnlineStore, (self._redis,))

    def __repr__(self) -> str:
        return f"AsyncRedisOnlineStore({self.address})"

    @property
    def address(self) -> str:
        """The servers that the settings name, without credentials."""
        return str(self._redis)

    async def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order, by one MGET; on a cluster one for each slot, sent together."""
        if not keys:
            return []
        expires = time.monotonic() + (self._redis.options.deadline if deadline is None else deadline)
        if (pool := self._servers.only()) is not None and (values := await self._read_at_once(pool, keys, expires)):
            return values
        reading = Reading(keys, by_slot=self._by_slot)
        await self._perform(reading.requests, expires, reads=reading.suits_replicas, keeps=TRY_AGAIN)
        if self._by_slot and (divided := reading.divide()):
            await self._perform(divided, expires, reads=reading.suits_replicas)
        return reading.values()

    async def write_if_newer(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        expire_at_ms: Sequence[int] | None = None,
        deadline: float | None = None,
    ) -> WriteCount:
        """Replace each value iff the new one is greater by event, created and digest. Replays do nothing."""
        written = 0
        seconds = self._redis.options.write_deadline if deadline is None else deadline
        for writing in write_rounds(pairs, expire_at_ms, by_slot=self._by_slot):
            expires = time.monotonic() + seconds
            await self._perform(writing.requests, expires, keeps=TRY_AGAIN)
            if divided := writing.divide():
                await self._perform(divided, expires)
            written += writing.written()
        size = sum(len(key) + len(value) for key, value in pairs)
        return WriteCount(written=written, ignored=len(pairs) - written, bytes_sent=size)

    def group_keys(self, keys: Sequence[bytes]) -> list[list[int]]:
        """Give places in ``keys`` whose keys one script may be called with: at most 64, on a cluster of one slot."""
        return [places for _, places in group_places(keys, limit=KEYS_PER_SCRIPT, by_slot=self._by_slot)]

    async def run_script(
        self, script: Script, groups: Sequence[Group], *, deadline: float | None = None, repeats: bool = True
    ) -> list[Any]:
        """Call a script once for each (KEYS, ARGV) and give the replies in order, as ``RedisOnlineStore`` does."""
        seconds = self._redis.options.write_deadline if deadline is None else deadline
        replies: list[Any] = []
        for requests in script_rounds(script, groups):
            await self._perform(requests, time.monotonic() + seconds, repeats=repeats)
            replies += [request.reply for request in requests]
        return replies

    async def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._servers.close()
        await asyncio.sleep(0)

    async def _read_at_once(
        self, pool: AsyncConnectionPool, keys: Sequence[bytes], expires: float
    ) -> list[bytes | None] | None:
        """Read from a lone server by the shortest way; None when that failed and more may be tried."""
        try:
            values = (await pool.exchange([("MGET", *keys)], expires))[0]
        except Late as failure:
            raise translate(failure, command="MGET", address=self.address) from failure
        except Failure:
            return None
        return values if type(values) is list else None

    async def _perform(
        self,
        requests: Sequence[Request],
        expires: float,
        *,
        reads: bool = False,
        repeats: bool = True,
        keeps: frozenset[str] = frozenset(),
    ) -> None:
        call = Call(
            self._servers.topology,
            requests,
            address=self.address,
            expires=expires,
            retries=self._redis.options.retries,
            reads=reads,
            repeats=repeats,
            keeps=keeps,
        )
        await self._servers.perform(call)
