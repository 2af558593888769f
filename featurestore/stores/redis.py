"""The online store on one Redis server, 6.2 or newer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError, ResponseError

from featurestore.codec.keys import project_ids_key
from featurestore.errors import DeadlineExceeded, SettingsError, StateError
from featurestore.stores.base import WriteCount
from featurestore.stores.redis_connection import ConnectionPool
from featurestore.stores.redis_errors import translate
from featurestore.stores.redis_scripts import PROJECT_ID, REPLACE_RECORD, WRITE_IF_NEWER, Script

__all__ = ["KEYS_PER_SCRIPT", "SCRIPTS_PER_ROUND_TRIP", "RedisOnlineStore"]

KEYS_PER_SCRIPT = 64
"""A script holds up all readers while it runs: 64 keys keep their p99 at 1 to 3 ms, 10,000 made it 69 ms."""
SCRIPTS_PER_ROUND_TRIP = 32
MEMBERS_PER_COMMAND = 512
_BYTES_PER_ROUND_TRIP = 4 << 20

Command = tuple[Any, ...]


class RedisOnlineStore:
    """Packed values in one Redis. Safe for threads; a fork or a pickle's copy opens connections of its own."""

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 5.0,
        write_deadline: float = 30.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = url
        self._options = dict(options or {})
        self._deadline = deadline
        self._write_deadline = write_deadline
        self._pool = ConnectionPool(url, self._options)

    @classmethod
    def connect(cls, url: str, **options: Any) -> RedisOnlineStore:
        """Make a store for a redis://, rediss:// or unix:// URL; nothing is opened before the first call.

        ``deadline`` and ``write_deadline`` are seconds for a call that names no deadline; the other options are
        redis-py's (``online_store`` in feature_store.yaml). SettingsError for an option or a scheme that is not known.
        """
        bounds: dict[str, float] = {}
        for name in ("deadline", "write_deadline"):
            value = options.pop(name, None)
            if value is None:
                continue
            if not isinstance(value, int | float) or value <= 0:
                raise SettingsError(f"online_store: {name}: found {value!r}; valid is a number of seconds above 0")
            bounds[name] = float(value)
        return cls(url, options=options, **bounds)

    def __reduce__(self) -> tuple[object, ...]:
        bounds = {
            "deadline": self._deadline,
            "write_deadline": self._write_deadline,
        }
        return (_reconnect, (self._url, {**self._options, **bounds}))

    def __repr__(self) -> str:
        return f"RedisOnlineStore({self.address})"

    @property
    def address(self) -> str:
        """The server, without credentials."""
        return self._pool.address

    def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order, by one MGET."""
        if not keys:
            return []
        replies = self._call([("MGET", *keys)], self._deadline if deadline is None else deadline)
        values: list[bytes | None] = replies[0]
        return values

    def write_if_newer(
        self, pairs: Sequence[tuple[bytes, bytes]], *, expire_at_ms: Sequence[int] | None = None
    ) -> WriteCount:
        """Replace each value iff the new one is greater by event, created and digest. Replays do nothing.

        Atomic for each key, not for the call: after an error some pairs may be written, and the same call may be made
        again. ``expire_at_ms`` has a Unix time for each pair, 0 for none.
        """
        written = 0
        for commands in _rounds(pairs, expire_at_ms):
            written += sum(self._run_scripts(WRITE_IF_NEWER, commands))
        size = sum(len(key) + len(value) for key, value in pairs)
        return WriteCount(written=written, ignored=len(pairs) - written, bytes_sent=size)

    def put_record(self, key: bytes, value: bytes) -> None:
        """Set a small record without comparing."""
        self._call([("SET", key, value)], self._write_deadline)

    def replace_record(self, key: bytes, expected: bytes | None, value: bytes) -> bool:
        """Set a record iff it still holds ``expected`` (None: nothing); say whether it did."""
        arguments: Command = (1, key, b"0" if expected is None else b"1", expected or b"", value)
        return bool(self._run_scripts(REPLACE_RECORD, [arguments])[0])

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove keys; give how many there were."""
        commands: list[Command] = [
            ("UNLINK", *keys[start : start + KEYS_PER_SCRIPT]) for start in range(0, len(keys), KEYS_PER_SCRIPT)
        ]
        return sum(
            sum(self._call(commands[start : start + SCRIPTS_PER_ROUND_TRIP], self._write_deadline))
            for start in range(0, len(commands), SCRIPTS_PER_ROUND_TRIP)
        )

    def add_members(self, key: bytes, members: Sequence[bytes]) -> None:
        """Add to the set at ``key``; members that are there already change nothing."""
        commands: list[Command] = [
            ("SADD", key, *members[start : start + MEMBERS_PER_COMMAND])
            for start in range(0, len(members), MEMBERS_PER_COMMAND)
        ]
        for start in range(0, len(commands), SCRIPTS_PER_ROUND_TRIP):
            self._call(commands[start : start + SCRIPTS_PER_ROUND_TRIP], self._write_deadline)

    def members(self, key: bytes) -> Iterator[list[bytes]]:
        """Give the members of a set in bounded lots; one that stays throughout is given at least once."""
        cursor = b"0"
        while True:
            cursor, found = self._call([("SSCAN", key, cursor, "COUNT", MEMBERS_PER_COMMAND)], self._write_deadline)[0]
            if found:
                yield list(found)
            if cursor == b"0":
                return

    def append_entries(self, key: bytes, entries: Sequence[bytes], *, keep: int) -> None:
        """Append to the log at ``key``, which keeps about the last ``keep`` entries."""
        commands: list[Command] = [("XADD", key, "MAXLEN", "~", keep, "*", b"entry", entry) for entry in entries]
        for start in range(0, len(commands), MEMBERS_PER_COMMAND):
            self._call(commands[start : start + MEMBERS_PER_COMMAND], self._write_deadline)

    def entries(self, key: bytes, *, last: int) -> list[bytes]:
        """Give the last entries of a log, the newest first."""
        found = self._call([("XREVRANGE", key, "+", "-", "COUNT", last)], self._deadline)[0]
        return [fields[1] for _, fields in found]

    def time_micros(self) -> int:
        """Read the server's clock."""
        seconds, micros = self._call([("TIME",)], self._deadline)[0]
        return int(seconds) * 1_000_000 + int(micros)

    def project_id(self, name: str) -> int:
        """Give the number that the project's keys carry, allotted at the first call; no two names share one."""
        if not name:
            raise ValueError("a project's name is not empty")
        return self._run_scripts(PROJECT_ID, [(1, project_ids_key(), name.encode())])[0]

    def check_eviction_policy(self) -> None:
        """Raise StateError if the server drops keys that have no expiry when its memory is full."""
        info: bytes = self._call([("INFO", "memory")], self._deadline)[0]
        lines = dict(line.partition(":")[::2] for line in info.decode().splitlines())
        policy = lines.get("maxmemory_policy", "")
        if policy.startswith("allkeys-"):
            raise StateError(
                f"Redis at {self.address} has maxmemory-policy {policy}: it would drop features and markers silently; "
                "valid are noeviction and volatile-*; run `redis-cli CONFIG SET maxmemory-policy noeviction`",
                policy=policy,
            )

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._pool.close()

    def _run_scripts(self, script: Script, arguments: Sequence[Command]) -> list[int]:
        """Call a script once for each tuple of arguments in one round trip; load it where the server lacks it."""
        commands = [("EVALSHA", script.sha, *rest) for rest in arguments]
        replies = self._call(commands, self._write_deadline, keep=NoScriptError)
        lacking = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lacking:
            again: list[Command] = [("SCRIPT", "LOAD", script.text), *(commands[place] for place in lacking)]
            for place, reply in zip(lacking, self._call(again, self._write_deadline)[1:], strict=True):
                replies[place] = reply
        return replies

    def _call(
        self, commands: Sequence[Command], seconds: float, *, keep: type[ResponseError] | tuple[()] = ()
    ) -> list[Any]:
        """Send commands and read all their replies before the deadline; raise for the first that is an error.

        A connection with a reply still to come is closed, never given back.
        """
        name = " ".join(str(commands[0][0]).split()[:1])
        if seconds <= 0:
            raise DeadlineExceeded(
                f"{name} at {self.address} was not sent: the deadline had passed", address=self.address
            )
        try:
            replies = self._exchange(commands, time.monotonic() + seconds)
        except RedisError as error:
            raise translate(error, command=name, address=self.address) from error
        for reply in replies:
            if isinstance(reply, ResponseError) and not (keep and isinstance(reply, keep)):
                raise translate(reply, command=name, address=self.address) from reply
        return replies

    def _exchange(self, commands: Sequence[Command], expires: float) -> list[Any]:
        connection = self._pool.take(expires)
        is_clean = False
        try:
            replies = connection.exchange(commands)
            is_clean = True
        finally:
            if is_clean:
                self._pool.give_back(connection)
            else:
                connection.drop()
        return replies


def _reconnect(url: str, options: Mapping[str, Any]) -> RedisOnlineStore:
    return RedisOnlineStore.connect(url, **options)


def _rounds(pairs: Sequence[tuple[bytes, bytes]], expire_at_ms: Sequence[int] | None) -> Iterator[list[Command]]:
    """Cut pairs into scripts' arguments, and those into round trips bounded by number and bytes."""
    if expire_at_ms is not None and len(expire_at_ms) != len(pairs):
        raise ValueError(
            f"expire_at_ms has {len(expire_at_ms)} times for {len(pairs)} pairs; give one for each, 0 for none"
        )
    commands: list[Command] = []
    size = 0
    for start in range(0, len(pairs), KEYS_PER_SCRIPT):
        part = pairs[start : start + KEYS_PER_SCRIPT]
        values = [value for _, value in part]
        expiries = () if expire_at_ms is None else tuple(map(int, expire_at_ms[start : start + KEYS_PER_SCRIPT]))
        commands.append((len(part), *(key for key, _ in part), *values, *(expiries if any(expiries) else ())))
        size += sum(map(len, values))
        if len(commands) == SCRIPTS_PER_ROUND_TRIP or size >= _BYTES_PER_ROUND_TRIP:
            yield commands
            commands, size = [], 0
    if commands:
        yield commands
