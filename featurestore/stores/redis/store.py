"""The online store on Redis 6.2 or newer: one server, one watched by Sentinels, or a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from featurestore.codec.keys import project_ids_key
from featurestore.errors import StateError
from featurestore.stores.base import WriteCount
from featurestore.stores.redis.address import Options, RedisAddress, parse_address
from featurestore.stores.redis.call import Call, Request
from featurestore.stores.redis.connection import ConnectionPool
from featurestore.stores.redis.errors import Failure, Late, translate
from featurestore.stores.redis.locks import RedisRowLocks
from featurestore.stores.redis.protocol import Command
from featurestore.stores.redis.requests import (
    KEYS_PER_SCRIPT,
    TRY_AGAIN,
    Group,
    Reading,
    delete_rounds,
    script_rounds,
    write_rounds,
)
from featurestore.stores.redis.scripts import PROJECT_ID, REPLACE_RECORD, Script
from featurestore.stores.redis.servers import Servers
from featurestore.stores.redis.side_scripts import EXTEND_EXPIRY, RESERVE
from featurestore.stores.redis.slots import group_places, slot_of

__all__ = ["RedisOnlineStore"]

MEMBERS_PER_COMMAND = 512
COMMANDS_PER_ROUND_TRIP = 32
_REPLACED, _ALREADY = 1, 2


class RedisOnlineStore:
    """Packed values in Redis. Safe for threads; a fork or a pickle's copy opens connections of its own.

    Every call ends by its deadline, with an error of this package if need be. Reads, compare-and-set writes and
    deletions are made again after a lost connection, a failover, a moved slot or a server that is loading its data.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._redis = address
        self._deadline = address.options.deadline
        self._write_deadline = address.options.write_deadline
        self._servers = Servers(address)
        self._by_slot = self._servers.topology.has_slots
        self._only = self._servers.only()

    @classmethod
    def connect(cls, url: str, **options: Any) -> RedisOnlineStore:
        """Make a store for a connection string; nothing is opened before the first call.

        ``options`` are those of ``online_store`` in feature_store.yaml (docs/online-store.md). SettingsError for an
        option or a scheme that is not known.
        """
        return cls(parse_address(url, options))

    def __reduce__(self) -> tuple[object, ...]:
        return (RedisOnlineStore, (self._redis,))

    def __repr__(self) -> str:
        return f"RedisOnlineStore({self.address})"

    @property
    def address(self) -> str:
        """The servers that the settings name, without credentials."""
        return str(self._redis)

    @property
    def options(self) -> Options:
        """What the settings say, with defaults filled in."""
        return self._redis.options

    def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        """Give the stored bytes of each key, in order, by one MGET; on a cluster one for each slot, sent together."""
        if not keys:
            return []
        expires = time.monotonic() + (self._deadline if deadline is None else deadline)
        if self._only is not None and (values := self._read_at_once(self._only, keys, expires)) is not None:
            return values
        reading = Reading(keys, by_slot=self._by_slot)
        self._perform(reading.requests, expires, reads=reading.suits_replicas, keeps=TRY_AGAIN)
        if self._by_slot and (divided := reading.divide()):
            self._perform(divided, expires, reads=reading.suits_replicas)
        return reading.values()

    def write_if_newer(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        expire_at_ms: Sequence[int] | None = None,
        are_new: bool = False,
    ) -> WriteCount:
        """Replace each value iff the new one is greater by event, created and digest. Replays do nothing.

        Atomic for each key, not for the call: after an error some pairs may be written, and the same call may be made
        again. ``expire_at_ms`` has a Unix time for each pair, 0 for none. A pair that was written by an attempt whose
        answer was lost counts as ignored. With ``are_new`` MSETNX is tried first, at two fifths of the script's cost;
        it writes none of its keys where one is there.
        """
        written = 0
        for writing in write_rounds(pairs, expire_at_ms, by_slot=self._by_slot, are_new=are_new):
            expires = time.monotonic() + self._write_deadline
            self._perform(writing.requests, expires, keeps=TRY_AGAIN)
            if refused := writing.refused():
                self._perform(refused, expires, keeps=TRY_AGAIN)
            if divided := writing.divide():
                self._perform(divided, expires)
            written += writing.written()
        size = sum(len(key) + len(value) for key, value in pairs)
        return WriteCount(written=written, ignored=len(pairs) - written, bytes_sent=size)

    def group_keys(self, keys: Sequence[bytes], *, limit: int = KEYS_PER_SCRIPT) -> list[list[int]]:
        """Give places in ``keys`` whose keys one script may be called with: few, and on a cluster of one slot."""
        return [places for _, places in group_places(keys, limit=limit, by_slot=self._by_slot)]

    def run_script(
        self, script: Script, groups: Sequence[Group], *, deadline: float | None = None, repeats: bool = True
    ) -> list[Any]:
        """Call a script once for each (KEYS, ARGV) and give the replies in order; ``group_keys`` makes the groups.

        Calls go in pipelined round trips of bounded size, to the servers of their keys. ``repeats=False`` is for a
        script that must not run twice for one call: then a lost connection is an error. ``deadline`` is for each
        round trip, by default that of writes.
        """
        seconds = self._write_deadline if deadline is None else deadline
        replies: list[Any] = []
        for requests in script_rounds(script, groups):
            self._perform(requests, time.monotonic() + seconds, repeats=repeats)
            replies += [request.reply for request in requests]
        return replies

    def put_record(self, key: bytes, value: bytes) -> None:
        """Set a small record without comparing."""
        self._one(("SET", key, value), key, self._write_deadline)

    def replace_record(self, key: bytes, expected: bytes | None, value: bytes) -> bool:
        """Set a record iff it still holds ``expected`` (None: nothing); say whether it did.

        When an answer was lost and the record then holds ``value``, it counts as done by this call.
        """
        group: Group = ([key], [b"0" if expected is None else b"1", expected or b"", value])
        (requests,) = script_rounds(REPLACE_RECORD, [group])
        call = self._perform(requests, time.monotonic() + self._write_deadline)
        return bool(requests[0].reply == _REPLACED or (call.was_repeated and requests[0].reply == _ALREADY))

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove keys; give how many there were."""
        count = 0
        for requests in delete_rounds(keys, by_slot=self._by_slot):
            self._perform(requests, time.monotonic() + self._write_deadline)
            count += sum(request.reply for request in requests)
        return count

    def add_members(self, key: bytes, members: Sequence[bytes]) -> None:
        """Add to the set at ``key``; members that are there already change nothing."""
        parts = [members[start : start + MEMBERS_PER_COMMAND] for start in range(0, len(members), MEMBERS_PER_COMMAND)]
        self._many([("SADD", key, *part) for part in parts], key)

    def members(self, key: bytes) -> Iterator[list[bytes]]:
        """Give the members of a set in bounded lots; one that stays throughout is given at least once."""
        cursor = b"0"
        while True:
            cursor, found = self._one(("SSCAN", key, cursor, "COUNT", MEMBERS_PER_COMMAND), key, self._write_deadline)
            if found:
                yield list(found)
            if cursor == b"0":
                return

    def append_entries(self, key: bytes, entries: Sequence[bytes], *, keep: int) -> None:
        """Append to the log at ``key``, which keeps about the last ``keep`` entries.

        An entry whose answer was lost is appended again: it may be there twice.
        """
        self._many([("XADD", key, "MAXLEN", "~", keep, "*", b"entry", entry) for entry in entries], key)

    def entries(self, key: bytes, *, last: int) -> list[bytes]:
        """Give the last entries of a log, the newest first."""
        found = self._one(("XREVRANGE", key, "+", "-", "COUNT", last), key, self._deadline)
        return [fields[1] for _, fields in found]

    def reserve(self, key: bytes, amount: int, *, per_second: int) -> float:
        """Take ``amount`` out of the rate that all who name ``key`` share; give the seconds to wait before using it."""
        micros = -(-amount * 1_000_000 // per_second)
        wait: int = self.run_script(RESERVE, [([key], [micros])])[0]
        return wait / 1e6

    def extend_expiry(self, keys: Sequence[bytes], expire_at_ms: Sequence[int]) -> None:
        """Let keys that expire live until the given Unix times in ms, or for ever (0), never shorter than before."""
        groups = [
            ([keys[place] for place in places], [int(expire_at_ms[place]) for place in places])
            for places in self.group_keys(keys)
        ]
        self.run_script(EXTEND_EXPIRY, groups)

    def scan(self, pattern: bytes, *, lot: int) -> Iterator[list[bytes]]:
        """Give the keys that match a glob, in lots of about ``lot`` keys looked at; the caller sets the pace."""
        self._one(("PING",), project_ids_key(), self._deadline)
        for target in self._servers.topology.primaries():
            cursor = b"0"
            while True:
                request = Request(("SCAN", cursor, "MATCH", pattern, "COUNT", lot), target=target)
                self._perform([request], time.monotonic() + self._write_deadline, reads=True)
                cursor, found = request.reply
                yield list(found)
                if cursor == b"0":
                    break

    def time_micros(self) -> int:
        """Read the clock of a server, on a cluster of the one that allots the project's number."""
        seconds, micros = self._one(("TIME",), project_ids_key(), self._deadline)
        return int(seconds) * 1_000_000 + int(micros)

    def project_id(self, name: str) -> int:
        """Give the number that the project's keys carry, allotted at the first call; no two names share one."""
        if not name:
            raise ValueError("a project's name is not empty")
        number: int = self.run_script(PROJECT_ID, [([project_ids_key()], [name.encode()])])[0]
        return number

    def check_eviction_policy(self) -> None:
        """Raise StateError if a server drops keys that have no expiry when its memory is full."""
        self._one(("PING",), project_ids_key(), self._deadline)
        targets = self._servers.topology.primaries()
        requests = [Request(("INFO", "memory"), target=target) for target in targets]
        self._perform(requests, time.monotonic() + self._deadline)
        for target, request in zip(targets, requests, strict=True):
            lines = dict(line.partition(":")[::2] for line in request.reply.decode().splitlines())
            policy = lines.get("maxmemory_policy", "")
            if policy.startswith("allkeys-"):
                where = f"{target.node} of {self.address}" if len(targets) > 1 else self.address
                raise StateError(
                    f"Redis at {where} has maxmemory-policy {policy}: it would drop features and markers silently; "
                    "valid are noeviction and volatile-*; run `redis-cli CONFIG SET maxmemory-policy noeviction`",
                    policy=policy,
                )

    def row_locks(self) -> RedisRowLocks:
        """Give the locks over this store's rows."""
        return RedisRowLocks(self)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._servers.close()

    def _read_at_once(self, pool: ConnectionPool, keys: Sequence[bytes], expires: float) -> list[bytes | None] | None:
        """Read from a lone server by the shortest way; None when that failed and more may be tried."""
        try:
            values = pool.exchange([("MGET", *keys)], expires)[0]
        except Late as failure:
            raise translate(failure, command="MGET", address=self.address) from failure
        except Failure:
            return None
        return values if type(values) is list else None

    def _one(self, command: Command, key: bytes, seconds: float) -> Any:
        request = Request(command, slot_of(key) if self._by_slot else 0)
        self._perform([request], time.monotonic() + seconds)
        return request.reply

    def _many(self, commands: Sequence[Command], key: bytes) -> None:
        slot = slot_of(key) if self._by_slot else 0
        for start in range(0, len(commands), COMMANDS_PER_ROUND_TRIP):
            requests = [Request(command, slot) for command in commands[start : start + COMMANDS_PER_ROUND_TRIP]]
            self._perform(requests, time.monotonic() + self._write_deadline)

    def _perform(
        self,
        requests: Sequence[Request],
        expires: float,
        *,
        reads: bool = False,
        repeats: bool = True,
        keeps: frozenset[str] = frozenset(),
    ) -> Call:
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
        self._servers.perform(call)
        return call
