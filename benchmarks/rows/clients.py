"""The store's own connections beside redis-py's clients: one read of 2 and of 201 keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from functools import partial

from redis.asyncio import Redis as AsyncRedis

from benchmarks.arena import Arena
from benchmarks.figures import Figure, at_least
from benchmarks.timing import Times, alternate
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore

__all__ = ["measure"]

_VALUE = bytes(420)
_CALLS = 300
_ROUNDS = 5


def measure(arena: Arena) -> Iterator[Figure]:
    """Let both clients read from the one server in turns, in this process."""
    for count in (2, 201):
        keys = [b"{clients}%d" % number for number in range(count)]
        with arena.redis.client() as theirs, closing(RedisOnlineStore.connect(arena.redis.url)) as ours:
            theirs.mset(dict.fromkeys(keys, _VALUE))
            calls = {"ours": _timed(partial(ours.read, keys)), "redis-py": _timed(partial(theirs.mget, keys))}
            yield _figure(f"read of {count} keys", alternate(calls, _ROUNDS))
        yield _figure(f"read of {count} keys, asyncio", asyncio.run(_in_turns(arena.redis.url, keys)))


def _figure(name: str, times: dict[str, Times]) -> Figure:
    return at_least(name, "redis-py", times["ours"].p50_ms, times["redis-py"].p50_ms, "ms")


def _timed(call: Callable[[], object]) -> Callable[[int], Iterable[int]]:
    def run(_: int) -> Iterator[int]:
        for _ in range(_CALLS):
            start = time.perf_counter_ns()
            call()
            yield time.perf_counter_ns() - start

    return run


async def _in_turns(url: str, keys: list[bytes]) -> dict[str, Times]:
    ours, theirs = AsyncRedisOnlineStore.connect(url), AsyncRedis.from_url(url)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "ours": lambda: ours.read(keys),
        "redis-py": lambda: theirs.mget(keys),
    }
    found: dict[str, list[int]] = {name: [] for name in calls}
    for turn in range(_ROUNDS + 1):
        for name, call in calls.items():
            for _ in range(_CALLS):
                start = time.perf_counter_ns()
                await call()
                if turn:
                    found[name].append(time.perf_counter_ns() - start)
    await ours.close()
    await theirs.aclose()
    return {name: Times.of(times) for name, times in found.items()}
