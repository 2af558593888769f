"""Connections whose every wait ends at the caller's deadline, and the pool they rest in."""

from __future__ import annotations

import math
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from featurestore.errors import SettingsError

__all__ = ["BoundedConnection", "ConnectionPool"]

_READ_BYTES = 1 << 17
_MAX_IDLE = 64


class _BoundedSocket:
    """A socket that waits no longer than what is left of the deadline, so many small parts cannot add up."""

    def __init__(self, inner: socket.socket, connection: BoundedConnection) -> None:
        self._inner = inner
        self._connection = connection

    def recv_into(self, buffer: bytearray) -> int:
        self._inner.settimeout(self._connection.remaining())
        return self._inner.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._connection.remaining())
        self._inner.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class BoundedConnection(AbstractConnection):
    """A connection whose timeouts are what is left until ``expires``, a monotonic time that each call sets."""

    expires = math.inf

    def remaining(self) -> float:
        seconds = self.expires - time.monotonic()
        if seconds <= 0:
            raise RedisTimeoutError("the deadline passed")
        return seconds

    @property
    def socket_timeout(self) -> float:
        return self.remaining()

    @socket_timeout.setter
    def socket_timeout(self, value: float | None) -> None:
        """Ignore fixed timeouts."""

    @property
    def socket_connect_timeout(self) -> float:
        return self.remaining()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        """Ignore fixed timeouts."""

    def open(self) -> None:
        """Connect, log in and choose the protocol, unless that is done."""
        untyped: Any = self
        untyped.connect()

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands and read a reply to each; a reply that is an error is given as the exception.

        After an exception of this method replies may be outstanding: drop the connection.
        """
        untyped: Any = self
        untyped.send_packed_command(untyped.pack_commands(commands), check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(untyped.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        return replies

    def drop(self) -> None:
        """Close the socket; the next use would open a new one."""
        untyped: Any = self
        untyped.disconnect()


class _Tcp(BoundedConnection, Connection):
    def _connect(self) -> Any:
        untyped: Any = super()
        return _BoundedSocket(untyped._connect(), self)


class _Tls(BoundedConnection, SSLConnection):
    def _connect(self) -> Any:
        untyped: Any = super()
        return _BoundedSocket(untyped._connect(), self)


class _Unix(BoundedConnection, UnixDomainSocketConnection):
    def _connect(self) -> Any:
        untyped: Any = super()
        return _BoundedSocket(untyped._connect(), self)


_KINDS: dict[str, type[_Tcp | _Tls | _Unix]] = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


class ConnectionPool:
    """Idle connections to one server, last used first. Safe for threads and forks.

    Nothing is opened before the first call. A forked child leaves its parent's connections alone and opens its own.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in _KINDS:
            raise SettingsError(
                f"online_store: connection_string: found scheme {scheme or 'none'!r}; valid are redis://, "
                "rediss:// and unix://; Sentinel and Cluster are not supported yet: name one primary server",
                scheme=scheme,
            )
        self._kind = _KINDS[scheme]
        try:
            parse: Any = parse_url
            parsed: dict[str, Any] = dict(parse(url))
            parsed.pop("connection_class", None)
            self._arguments: dict[str, Any] = {**options, **parsed}
            self.address = _address(scheme, self._arguments)
            self._make()
        except (TypeError, ValueError, RedisError) as error:
            raise SettingsError(
                f"online_store: the connection's options are wrong: {error}; valid are redis-py's, such as db, "
                "username, password, ssl_ca_certs and client_name"
            ) from error
        self._pid = os.getpid()
        self._idle: deque[BoundedConnection] = deque()

    def take(self, expires: float) -> BoundedConnection:
        """Give an open connection for one call that ends by ``expires``; one that was closed meanwhile reconnects."""
        if os.getpid() != self._pid:
            self._pid, self._idle = os.getpid(), deque()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._make()
            connection.expires = expires
            connection.open()
            return connection
        connection.expires = expires
        if _is_stale(connection):
            connection.drop()
            connection.open()
        return connection

    def give_back(self, connection: BoundedConnection) -> None:
        """Keep a connection for later, if all its replies were read."""
        if len(self._idle) < _MAX_IDLE and connection.pid == self._pid:
            self._idle.append(connection)
        else:
            connection.drop()

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        while self._idle:
            self._idle.pop().drop()

    def _make(self) -> BoundedConnection:
        return self._kind(
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            socket_read_size=_READ_BYTES,
            **self._arguments,
        )


def _is_stale(connection: BoundedConnection) -> bool:
    """Say whether an idle connection has something to read: the server's goodbye, or an answer to nobody."""
    try:
        return connection.can_read()
    except (RedisConnectionError, RedisTimeoutError, OSError):
        return True


def _address(scheme: str, arguments: Mapping[str, Any]) -> str:
    """Name the server without credentials."""
    database = arguments.get("db", 0)
    if scheme == "unix":
        return f"unix://{arguments.get('path', '')} (db {database})"
    return f"{scheme}://{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}/{database}"
