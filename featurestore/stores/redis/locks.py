"""Row locks in Redis: two scripts, one that takes the locks of many rows, one that writes back and unlocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from featurestore.codec.keys import lock_key
from featurestore.codec.stamp import STAMP_BYTES
from featurestore.stores.base import WriteCount
from featurestore.stores.redis.requests import KEYS_PER_SCRIPT, Group
from featurestore.stores.redis.scripts import IS_NEWER, Script
from featurestore.stores.row_locks import COOLDOWN, Claims, Held, RowClaim, RowResult

__all__ = ["CLAIM", "RENEW", "SETTLE", "RedisRowLocks"]

ROWS_PER_SCRIPT = KEYS_PER_SCRIPT // 2
"""Two keys a row: the scripts of one round trip each hold up other callers as little as those that write."""

_COOLDOWN = COOLDOWN.decode()

CLAIM = Script(f"""
local now = redis.call('TIME')
local answers = {{now[1] * 1000000 + now[2]}}
for i = 1, #KEYS / 2 do
  local lock, row, seen = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 + i]
  if redis.call('GETRANGE', row, 0, {STAMP_BYTES - 1}) ~= seen then
    answers[i + 1] = redis.call('GET', row) or ''
  else
    local held = redis.call('GET', lock)
    if not held or held == ARGV[1] then
      redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])
      answers[i + 1] = {Held.TAKEN.value}
    elseif string.sub(held, 1, 1) == '{_COOLDOWN}' then
      answers[i + 1] = {Held.COOLING.value}
    else
      answers[i + 1] = {Held.BY_OTHERS.value}
    end
  end
end
return answers
""")
"""KEYS: lock and row of each. ARGV: token, ms, the stamp seen of each. Gives the time, then of each state or value.

A call that is made again, as its answer was lost, finds its own token and has taken the lock.
"""

RENEW = Script("""
local renewed = 0
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
    renewed = renewed + 1
  end
end
return renewed
""")
"""KEYS: locks. ARGV: token, ms."""

SETTLE = Script(f"""
{IS_NEWER}
local written = 0
for i = 1, #KEYS / 2 do
  local lock, row, value, failed = KEYS[2 * i - 1], KEYS[2 * i], ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  if value ~= '' and is_newer(value, redis.call('GET', row)) then
    redis.call('SET', row, value)
    written = written + 1
  end
  local held = redis.call('GET', lock)
  local mine = held == ARGV[1]
  if failed == '1' and ARGV[2] ~= '0' and (mine or not held) then
    redis.call('SET', lock, '{_COOLDOWN}', 'PX', ARGV[2])
  elseif mine then
    redis.call('DEL', lock)
  end
end
return written
""")
"""KEYS: lock and row of each. ARGV: token, ms of the cooldown, then of each value (or '') and '1' if it failed."""


class ScriptRunner(Protocol):
    """What of the store the locks are made of."""

    def group_keys(self, keys: Sequence[bytes], *, limit: int = KEYS_PER_SCRIPT) -> list[list[int]]: ...

    def run_script(self, script: Script, groups: Sequence[Group], *, deadline: float | None = None) -> list[Any]: ...


class RedisRowLocks:
    """Locks lie beside their rows, in the same slot."""

    def __init__(self, store: ScriptRunner) -> None:
        self._store = store

    def claim(self, rows: Sequence[RowClaim], token: bytes, *, seconds: float, deadline: float | None = None) -> Claims:
        places = self._groups([row.key for row in rows])
        groups: list[Group] = [
            (_both_keys(rows[place].key for place in part), (token, _millis(seconds), *(rows[p].seen for p in part)))
            for part in places
        ]
        replies = self._store.run_script(CLAIM, groups, deadline=deadline)
        answers: list[Held | bytes] = [Held.BY_OTHERS] * len(rows)
        for part, reply in zip(places, replies, strict=True):
            for place, found in zip(part, reply[1:], strict=True):
                answers[place] = found if isinstance(found, bytes) else Held(int(found))
        return Claims(answers=answers, time_us=max(int(reply[0]) for reply in replies))

    def renew(self, keys: Sequence[bytes], token: bytes, *, seconds: float) -> int:
        groups: list[Group] = [
            ([lock_key(keys[place]) for place in part], (token, _millis(seconds))) for part in self._groups(keys)
        ]
        return sum(self._store.run_script(RENEW, groups))

    def settle(self, results: Sequence[RowResult], token: bytes, *, cooldown: float = 0) -> WriteCount:
        groups: list[Group] = []
        for part in self._groups([result.key for result in results]):
            settled = [results[place] for place in part]
            outcomes = itertools.chain.from_iterable(map(_outcome, settled))
            groups.append((_both_keys(result.key for result in settled), (token, _millis(cooldown), *outcomes)))
        written = sum(self._store.run_script(SETTLE, groups))
        values = [result.value for result in results if result.value is not None]
        size = sum(len(result.key) + len(result.value or b"") for result in results)
        return WriteCount(written=written, ignored=len(values) - written, bytes_sent=size)

    def _groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        return self._store.group_keys(keys, limit=ROWS_PER_SCRIPT)


def _both_keys(keys: Iterable[bytes]) -> list[bytes]:
    return [both for key in keys for both in (lock_key(key), key)]


def _outcome(result: RowResult) -> tuple[bytes, bytes]:
    return result.value or b"", b"1" if result.failed else b"0"


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
