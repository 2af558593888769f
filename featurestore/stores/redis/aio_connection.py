"""Connections for asyncio whose every wait ends at the caller's deadline, and the pool they rest in."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from featurestore.stores.redis.address import Access, Node
from featurestore.stores.redis.connection import prepare_tcp
from featurestore.stores.redis.errors import Late, LostConnection, Untrusted
from featurestore.stores.redis.protocol import INCOMPLETE, Command, check_greeting, new_reader, pack
from featurestore.stores.redis.tls import is_untrusted, tls_context

__all__ = ["AsyncConnection", "AsyncConnectionPool"]


class AsyncConnection(asyncio.Protocol):
    """One connection to one server; it carries one call at a time.

    After any exception, cancellation included, replies may be outstanding: ``drop`` it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader: Any = new_reader()
        self._replies: list[Any] = []
        self._count = 0
        self._waiter: asyncio.Future[list[Any]] | None = None
        self._transport: asyncio.Transport | None = None
        self._is_lost = False

    @classmethod
    async def open(cls, node: Node, access: Access, first: Sequence[Command], expires: float) -> AsyncConnection:
        """Connect and say the greeting ``first``."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(expires - time.monotonic()):
                if node.path:
                    _, connection = await loop.create_unix_connection(cls, node.path)
                else:
                    context = tls_context(access) if access.tls else None
                    name = node.host if access.tls else None
                    transport, connection = await loop.create_connection(
                        cls, node.host, node.port, ssl=context, server_hostname=name
                    )
                    prepare_tcp(transport.get_extra_info("socket"))
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise Late("the deadline passed") from error
            lost = Untrusted if access.tls and is_untrusted(error) else LostConnection
            raise lost(str(error)) from error
        try:
            check_greeting(first, await connection.exchange(first, expires))
        except BaseException:
            connection.drop()
            raise
        return connection

    async def exchange(self, commands: Sequence[Command], expires: float) -> list[Any]:
        """Send commands and read a reply to each; one that is an error is given as a ReplyError."""
        if self._is_lost or self._transport is None:
            raise LostConnection("the server ended the connection")
        seconds = expires - time.monotonic()
        if seconds <= 0:
            raise Late("the deadline passed")
        self._replies = []
        self._count = len(commands)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._fail, Late("the deadline passed"))
        try:
            self._transport.write(pack(commands))
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def is_usable(self) -> bool:
        """Say whether an idle connection is open; what came while it was idle ended it."""
        return not self._is_lost

    def drop(self) -> None:
        """Close the socket at once."""
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.drop()
            return
        self._reader.feed(data)
        try:
            while len(self._replies) < self._count and (reply := self._reader.gets()) is not INCOMPLETE:
                self._replies.append(reply)
        except LostConnection as error:
            self._fail(error)
            return
        if len(self._replies) < self._count:
            return
        if self._reader.has_data():
            self._fail(LostConnection("the server said more than it was asked"))
        elif not self._waiter.done():
            self._waiter.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self._fail(LostConnection(str(error) if error else "the server ended the connection"))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class AsyncConnectionPool:
    """Connections to one server, at most ``limit`` of them, last used first; for one event loop.

    Nothing is opened before the first call. Who finds all connections in use waits for one until its deadline.
    """

    def __init__(self, node: Node, access: Access, first: Sequence[Command], *, limit: int) -> None:
        self.node = node
        self._access = access
        self._first = first
        self._limit = limit
        self._open_count = 0
        self._idle: list[AsyncConnection] = []
        self._waiters: deque[asyncio.Future[AsyncConnection | None]] = deque()

    async def exchange(self, commands: Sequence[Command], expires: float) -> list[Any]:
        """Send commands and read a reply to each; a connection with a reply still to come is closed."""
        connection = await self._take(expires)
        try:
            replies = await connection.exchange(commands, expires)
        except BaseException:
            self._discard(connection)
            raise
        self._give_back(connection)
        return replies

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        while self._idle:
            self._discard(self._idle.pop())

    async def _take(self, expires: float) -> AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            self._discard(connection)
        if self._open_count < self._limit:
            self._open_count += 1
        elif (handed := await self._wait(expires)) is not None:
            return handed
        try:
            return await AsyncConnection.open(self.node, self._access, self._first, expires)
        except BaseException:
            self._leave()
            raise

    async def _wait(self, expires: float) -> AsyncConnection | None:
        """Give a connection that another call hands over, or None for the right to open one."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[AsyncConnection | None] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(expires - time.monotonic(), self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: asyncio.Future[AsyncConnection | None]) -> None:
        if not waiter.done():
            waiter.set_exception(Late(f"all {self._limit} connections are in use; raise max_connections"))

    def _give_back(self, connection: AsyncConnection) -> None:
        if connection.is_usable():
            self._pass_on(connection)
        else:
            self._leave()

    def _discard(self, connection: AsyncConnection) -> None:
        connection.drop()
        self._leave()

    def _leave(self) -> None:
        """Let another call open a connection instead of one that is gone."""
        self._open_count -= 1
        if self._hand_over(None):
            self._open_count += 1

    def _pass_on(self, connection: AsyncConnection | None) -> None:
        if connection is None:
            self._leave()
        elif not self._hand_over(connection):
            self._idle.append(connection)

    def _hand_over(self, what: AsyncConnection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(what)
                return True
        return False
