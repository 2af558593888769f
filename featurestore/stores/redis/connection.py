"""Connections whose every wait ends at the caller's deadline, and the pool they rest in."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from featurestore.stores.redis.address import Access, Node
from featurestore.stores.redis.errors import Failure, Late, LostConnection, Untrusted
from featurestore.stores.redis.protocol import INCOMPLETE, Command, check_greeting, new_reader, pack
from featurestore.stores.redis.tls import is_untrusted, tls_context

__all__ = ["Connection", "ConnectionPool", "prepare_tcp"]

_READ_BYTES = 1 << 17


class Connection:
    """One connection to one server; it carries one call at a time.

    After any exception replies may be outstanding: ``drop`` it.
    """

    __slots__ = ("_buffer", "_idle", "_reader", "_socket")

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._buffer = bytearray(_READ_BYTES)
        self._reader: Any = new_reader()
        self._idle = select.poll()
        self._idle.register(opened, select.POLLIN)

    def __del__(self) -> None:
        self._socket.close()

    @classmethod
    def open(cls, node: Node, access: Access, first: Sequence[Command], expires: float) -> Connection:
        """Connect and say the greeting ``first``."""
        connection = cls(_connect(node, access, expires))
        try:
            connection.send(first, expires)
            check_greeting(first, connection.receive(len(first), expires))
        except Failure:
            connection.drop()
            raise
        return connection

    def send(self, commands: Sequence[Command], expires: float) -> None:
        """Send commands, all before ``expires`` of the monotonic clock."""
        data = pack(commands)
        try:
            self._socket.settimeout(_remaining(expires))
            self._socket.sendall(data)
        except OSError as error:
            raise _failure(error) from error

    def receive(self, count: int, expires: float) -> list[Any]:
        """Read that many replies; one that is an error is given as a ReplyError."""
        reader = self._reader
        replies: list[Any] = []
        while True:
            while (reply := reader.gets()) is not INCOMPLETE:
                replies.append(reply)
                if len(replies) == count:
                    if reader.has_data():
                        raise LostConnection("the server said more than it was asked")
                    return replies
            try:
                self._socket.settimeout(_remaining(expires))
                size = self._socket.recv_into(self._buffer)
            except OSError as error:
                raise _failure(error) from error
            if not size:
                raise LostConnection("the server ended the connection")
            reader.feed(self._buffer, 0, size)

    def is_usable(self) -> bool:
        """Say whether an idle connection has nothing to read: no goodbye of the server, no answer to nobody."""
        return not self._idle.poll(0)

    def drop(self) -> None:
        """Close the socket."""
        self._socket.close()


class ConnectionPool:
    """Connections to one server, at most ``limit`` of them, last used first. Safe for threads and forks.

    Nothing is opened before the first call. Who finds all connections in use waits for one until its deadline. A
    forked child leaves its parent's connections alone and opens its own.
    """

    def __init__(self, node: Node, access: Access, first: Sequence[Command], *, limit: int) -> None:
        self.node = node
        self._access = access
        self._first = first
        self._limit = limit
        self._begin()

    def exchange(self, commands: Sequence[Command], expires: float) -> list[Any]:
        """Send commands and read a reply to each; a connection with a reply still to come is closed."""
        connection = self.take(expires)
        try:
            connection.send(commands, expires)
            replies = connection.receive(len(commands), expires)
        except BaseException:
            self.discard(connection)
            raise
        self.give_back(connection)
        return replies

    def take(self, expires: float) -> Connection:
        """Give an open connection for one call that ends by ``expires``; one that was closed meanwhile reconnects."""
        if os.getpid() != self._pid:
            self._begin()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                if (waited := self._wait_for_room(expires)) is None:
                    return self._open(expires)
                connection = waited
            if connection.is_usable():
                return connection
            self.discard(connection)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call; all its replies were read."""
        self._idle.append(connection)
        if self._waiting:
            with self._room:
                self._room.notify()

    def discard(self, connection: Connection) -> None:
        """Close a connection instead of giving it back."""
        connection.drop()
        self._leave()

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        while self._idle:
            self.discard(self._idle.pop())

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[Connection] = deque()
        self._room = threading.Condition(threading.Lock())
        self._open_count = 0
        self._waiting = 0

    def _open(self, expires: float) -> Connection:
        try:
            return Connection.open(self.node, self._access, self._first, expires)
        except BaseException:
            self._leave()
            raise

    def _wait_for_room(self, expires: float) -> Connection | None:
        """Give an idle connection, or None for the right to open one; count the new one among the open."""
        with self._room:
            self._waiting += 1
            try:
                while True:
                    if self._idle:
                        return self._idle.pop()
                    if self._open_count < self._limit:
                        self._open_count += 1
                        return None
                    if not self._room.wait(_remaining(expires, f"all {self._limit} connections are in use")):
                        raise Late(f"all {self._limit} connections are in use; raise max_connections")
            finally:
                self._waiting -= 1

    def _leave(self) -> None:
        with self._room:
            self._open_count -= 1
            self._room.notify()


def _remaining(expires: float, reason: str = "the deadline passed") -> float:
    seconds = expires - time.monotonic()
    if seconds <= 0:
        raise Late(reason)
    return seconds


def _failure(error: OSError) -> Failure:
    """Tell our own timeout from the system's, which gives a peer up by a clock of its own."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return Late("the deadline passed")
    return LostConnection(str(error))


def _connect(node: Node, access: Access, expires: float) -> socket.socket:
    try:
        if node.path:
            return _opened(socket.AF_UNIX, node.path, expires)
        opened = _connect_tcp(node, expires)
    except OSError as error:
        raise _failure(error) from error
    if not access.tls:
        return opened
    context = tls_context(access)
    try:
        opened.settimeout(_remaining(expires))
        return context.wrap_socket(opened, server_hostname=node.host)
    except OSError as error:
        opened.close()
        raise Untrusted(str(error)) if is_untrusted(error) else _failure(error) from error


def _connect_tcp(node: Node, expires: float) -> socket.socket:
    """Try each address of the host, all before ``expires``."""
    addresses = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
    for number, (family, _, _, _, address) in enumerate(addresses):
        try:
            opened = _opened(family, address, expires)
        except OSError:
            if number + 1 == len(addresses):
                raise
        else:
            prepare_tcp(opened)
            return opened
    raise LostConnection(f"the host {node.host} has no address")


def _opened(family: int, address: Any, expires: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(_remaining(expires))
        opened.connect(address)
    except (OSError, Failure):
        opened.close()
        raise
    return opened


def prepare_tcp(opened: socket.socket) -> None:
    """Send small commands at once, and notice a peer that vanished while the connection was idle."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
