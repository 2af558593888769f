"""One store's servers for asyncio: a pool of connections for each, and calls carried out over them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from featurestore.stores.redis.address import RedisAddress
from featurestore.stores.redis.aio_connection import AsyncConnectionPool
from featurestore.stores.redis.call import Batch, Call, question_end
from featurestore.stores.redis.errors import Failure, Late
from featurestore.stores.redis.topologies import make_topology
from featurestore.stores.redis.topology import Role, Target, opening

__all__ = ["AsyncServers"]


class AsyncServers:
    """Connections to all servers of an address; in another event loop than before they are opened anew."""

    def __init__(self, address: RedisAddress) -> None:
        self.topology = make_topology(address)
        self._address = address
        self._pools: dict[Target, AsyncConnectionPool] = {}
        self._asking = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        only = None if self.topology.is_moving else self.topology.route(0, reads=True)
        self._only = None if only is None or only.role is Role.REPLICA else only

    def only(self) -> AsyncConnectionPool | None:
        """Give the pool of the one server that answers all reads; None where keys, roles or replicas decide."""
        return None if self._only is None else self._pool(self._only)

    async def perform(self, call: Call) -> None:
        """Carry a call out: its requests hold the replies. Raises the package's errors."""
        while True:
            await self._round(call)
            pause = call.pause()
            if pause is None:
                return
            if pause:
                await asyncio.sleep(pause)

    def close(self) -> None:
        """Close idle connections."""
        for pool in self._pools.values():
            pool.close()

    async def _round(self, call: Call) -> None:
        if not self.topology.is_known() and (failure := await self._discover(call.expires)) is not None:
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
        """Let one task ask who serves while others wait for it, but no longer than a question may take."""
        self._enter_loop()
        try:
            async with asyncio.timeout(max(0.0, question_end(expires) - time.monotonic())):
                await self._asking.acquire()
        except TimeoutError:
            return await self._ask(expires)
        try:
            return None if self.topology.is_known() else await self._ask(expires)
        finally:
            self._asking.release()

    async def _ask(self, expires: float) -> Failure | None:
        """Ask who serves; give why nobody could say, unless something is known from before."""
        failure: Failure = Late("the deadline passed")
        for target in self.topology.candidates():
            try:
                replies = await self._pool(target).exchange(self.topology.questions, question_end(expires))
                self.topology.learn(target, replies)
            except Failure as error:
                error.server = str(target.node)
                failure = error
            else:
                return None
        if not self.topology.primaries():
            return failure
        self.topology.postpone()
        return None

    async def _exchange(self, batch: Batch) -> list[Any] | Failure:
        try:
            return await self._pool(batch.target).exchange(batch.commands, batch.expires)
        except Failure as failure:
            return failure

    def _pool(self, target: Target) -> AsyncConnectionPool:
        self._enter_loop()
        pool = self._pools.get(target)
        if pool is None:
            access, first = opening(self._address, target, topology=self.topology)
            limit = self._address.options.max_connections
            pool = self._pools[target] = AsyncConnectionPool(target.node, access, first, limit=limit)
        return pool

    def _enter_loop(self) -> None:
        """Begin anew in an event loop that is not that of the call before."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._pools, self._asking = loop, {}, asyncio.Lock()
