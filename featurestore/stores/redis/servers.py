"""One store's servers: a pool of connections for each, and calls carried out over them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from featurestore.stores.redis.address import RedisAddress
from featurestore.stores.redis.call import Batch, Call, question_end
from featurestore.stores.redis.connection import Connection, ConnectionPool
from featurestore.stores.redis.errors import Failure, Late
from featurestore.stores.redis.topologies import make_topology
from featurestore.stores.redis.topology import Role, Target, opening

__all__ = ["Servers"]


class Servers:
    """Connections to all servers of an address. Safe for threads and forks."""

    def __init__(self, address: RedisAddress) -> None:
        self.topology = make_topology(address)
        self._address = address
        self._pools: dict[Target, ConnectionPool] = {}
        self._asking = threading.Lock()

    def only(self) -> ConnectionPool | None:
        """Give the pool of the one server that answers all reads; None where keys, roles or replicas decide."""
        topology = self.topology
        target = None if topology.is_moving else topology.route(0, reads=True)
        return None if target is None or target.role is Role.REPLICA else self._pool(target)

    def perform(self, call: Call) -> None:
        """Carry a call out: its requests hold the replies. Raises the package's errors."""
        while True:
            self._round(call)
            pause = call.pause()
            if pause is None:
                return
            if pause:
                time.sleep(pause)

    def close(self) -> None:
        """Close idle connections."""
        for pool in list(self._pools.values()):
            pool.close()

    def _round(self, call: Call) -> None:
        if not self.topology.is_known() and (failure := self._discover(call.expires)) is not None:
            call.unreachable(failure)
            return
        batches = call.next_round()
        if len(batches) == 1:
            outcomes: list[list[Any] | Failure] = [self._exchange(batches[0])]
        else:
            outcomes = self._exchange_all(batches)
        for batch, outcome in zip(batches, outcomes, strict=True):
            call.settle(batch, outcome)

    def _discover(self, expires: float) -> Failure | None:
        """Let one thread ask who serves while others wait for it, but no longer than a question may take."""
        is_alone = self._asking.acquire(timeout=max(0.0, question_end(expires) - time.monotonic()))
        try:
            return None if self.topology.is_known() else self._ask(expires)
        finally:
            if is_alone:
                self._asking.release()

    def _ask(self, expires: float) -> Failure | None:
        """Ask who serves; give why nobody could say, unless something is known from before."""
        failure: Failure = Late("the deadline passed")
        for target in self.topology.candidates():
            try:
                replies = self._pool(target).exchange(self.topology.questions, question_end(expires))
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

    def _exchange(self, batch: Batch) -> list[Any] | Failure:
        try:
            return self._pool(batch.target).exchange(batch.commands, batch.expires)
        except Failure as failure:
            return failure

    def _exchange_all(self, batches: Sequence[Batch]) -> list[list[Any] | Failure]:
        """Send to all servers, then read from all. Pools are entered in one order, so no two calls block each other."""
        waiting: list[tuple[Batch, Connection | Failure]] = []
        outcomes: list[list[Any] | Failure] = []
        try:
            waiting.extend((batch, self._send(batch)) for batch in batches)
            outcomes.extend(self._receive(batch, connection) for batch, connection in waiting)
        finally:
            for batch, connection in waiting[len(outcomes) :]:
                if isinstance(connection, Connection):
                    self._pool(batch.target).discard(connection)
        return outcomes

    def _send(self, batch: Batch) -> Connection | Failure:
        pool = self._pool(batch.target)
        try:
            connection = pool.take(batch.expires)
        except Failure as failure:
            return failure
        try:
            connection.send(batch.commands, batch.expires)
        except Failure as failure:
            pool.discard(connection)
            return failure
        except BaseException:
            pool.discard(connection)
            raise
        return connection

    def _receive(self, batch: Batch, connection: Connection | Failure) -> list[Any] | Failure:
        if isinstance(connection, Failure):
            return connection
        pool = self._pool(batch.target)
        try:
            replies = connection.receive(len(batch.commands), batch.expires)
        except Failure as failure:
            pool.discard(connection)
            return failure
        pool.give_back(connection)
        return replies

    def _pool(self, target: Target) -> ConnectionPool:
        pool = self._pools.get(target)
        if pool is None:
            access, first = opening(self._address, target, topology=self.topology)
            made = ConnectionPool(target.node, access, first, limit=self._address.options.max_connections)
            pool = self._pools.setdefault(target, made)
        return pool
