"""The online store on Redis for asyncio: what lookups and the write-back of predictions need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from featurestore.stores.base import WriteCount
from featurestore.stores.redis_address import RedisAddress, parse_address
from featurestore.stores.redis_aio_connection import AsyncConnectionPool
from featurestore.stores.redis_call import Batch, Call, Request, question_end
from featurestore.stores.redis_errors import Failure, Late
from featurestore.stores.redis_requests import (
    KEYS_PER_SCRIPT,
    TRY_AGAIN,
    Group,
    Reading,
    script_rounds,
    write_rounds,
)
from featurestore.stores.redis_scripts import Script
from featurestore.stores.redis_slots import group_places
from featurestore.stores.redis_topologies import make_topology
from featurestore.stores.redis_topology import Target, opening

__all__ = ["AsyncRedisOnlineStore"]


class AsyncRedisOnlineStore:
    """Packed values in Redis, by the rules of ``RedisOnlineStore``; for the tasks of one event loop at a time.

    A task that is cancelled leaves no connection with unread replies behind. Nothing is opened before the first call;
    in another event loop than that of the call before it opens connections anew.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._redis = address
        self._topology = make_topology(address)
        self._by_slot = self._topology.has_slots
        self._pools: dict[Target, AsyncConnectionPool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

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
        for pool in self._pools.values():
            pool.close()
        await asyncio.sleep(0)

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
            self._topology,
            requests,
            address=self.address,
            expires=expires,
            retries=self._redis.options.retries,
            reads=reads,
            repeats=repeats,
            keeps=keeps,
        )
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._pools = loop, {}
        while True:
            await self._round(call)
            pause = call.pause()
            if pause is None:
                return
            if pause:
                await asyncio.sleep(pause)

    async def _round(self, call: Call) -> None:
        if not self._topology.is_known() and (failure := await self._discover(call.expires)) is not None:
            call.unreachable(failure)
            return
        batches = call.next_round()
        if len(batches) == 1:
            outcomes = [await self._exchange(batches[0])]
        else:
            outcomes = await asyncio.gather(*map(self._exchange, batches))
        for batch, outcome in zip(batches, outcomes, strict=True):
            call.settle(batch, outcome)

    async def _discover(self, expires: float) -> Failure | None:
        """Ask who serves; give why nobody could say, unless something is known from before."""
        failure: Failure = Late("the deadline passed")
        for target in self._topology.candidates():
            try:
                replies = await self._pool(target).exchange(self._topology.questions, question_end(expires))
                self._topology.learn(target, replies)
            except Failure as error:
                error.server = str(target.node)
                failure = error
            else:
                return None
        if not self._topology.primaries():
            return failure
        self._topology.postpone()
        return None

    async def _exchange(self, batch: Batch) -> list[Any] | Failure:
        try:
            return await self._pool(batch.target).exchange(batch.commands, batch.expires)
        except Failure as failure:
            return failure

    def _pool(self, target: Target) -> AsyncConnectionPool:
        pool = self._pools.get(target)
        if pool is None:
            access, first = opening(self._redis, target, topology=self._topology)
            limit = self._redis.options.max_connections
            pool = self._pools[target] = AsyncConnectionPool(target.node, access, first, limit=limit)
        return pool
