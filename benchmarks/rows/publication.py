"""From Delta to Redis by compare-and-set: rows a second, commands, and what readers notice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from statistics import median
from typing import Any

import pyarrow.parquet as pq
from redis import Redis

from benchmarks.arena import Arena
from benchmarks.data import CASES, VIEWS, view_table
from benchmarks.figures import Figure, Goal, at_least, at_most, counted
from benchmarks.protocol import Contestant
from benchmarks.timing import Times

__all__ = ["measure"]

_VIEW = VIEWS["ten"]
_CASE = CASES["1x10"]
_RARE = {"config", "info", "config|resetstat"}


def measure(arena: Arena) -> Iterator[Figure]:
    """Publish to a database of its own, emptied each time; lookups go on in another of the same server."""
    rows, changed = arena.size.published_rows, arena.size.published_rows // 100
    if not rows:
        return
    publisher = arena.start("benchmarks.ours.publisher")
    folder = str(arena.folder / "publication")
    publisher.call("open_store", folder=folder, url=arena.redis.database(1), rows=rows, changed=changed)
    publisher.call("materialize", day=0)
    with closing(Redis.from_url(arena.redis.database(1))) as redis:
        rate, commands = _full(arena, publisher, redis)
        if arena.with_feast:
            theirs = arena.size.feast_rows / _feast_seconds(arena)
            goal = Goal(must=12, aim=18)
            yield at_least(
                f"publish {rows:,} rows x 10, microseconds a row", "Feast", 1e6 / rate, 1e6 / theirs, "µs", goal
            )
        yield from _latency(arena, publisher, redis)
        redis.config_resetstat()
        publisher.call("materialize", day=1)
        few = _commands(redis)
    goal = Goal(must=0.05, aim=changed / rows * 1.01)
    yield at_most("Redis commands to publish 1 % changed rows", "full publication", few, commands, "", goal)
    yield from _storm(arena, publisher)
    publisher.call("close")


def _full(arena: Arena, publisher: Contestant, redis: Redis) -> tuple[float, float]:
    """Give rows a second of a publication to an empty database (compared and read back included), and its commands."""
    seconds = []
    for turn in range(arena.size.publications + 1):
        redis.flushdb()
        redis.config_resetstat()
        done = publisher.call("publish")
        if done["sent"] != done["checked"] or done["sent"] != arena.size.published_rows:
            raise AssertionError(f"not all rows were sent and checked: {done}")
        if turn:
            seconds.append(done["seconds"])
    return arena.size.published_rows / median(seconds), _commands(redis)


def _feast_seconds(arena: Arena) -> float:
    folder = arena.folder / "feast_source"
    folder.mkdir()
    pq.write_table(view_table(_VIEW, arena.size.feast_rows), folder / f"{_VIEW.name}.parquet")
    return median(arena.feast.call("materialize", view=_VIEW.name, path=str(folder)) for _ in range(3))


def _latency(arena: Arena, publisher: Contestant, redis: Redis) -> Iterator[Figure]:
    """Look up without a pause, first alone and then while a full publication runs, as if on other machines."""
    arena.ours.call("load", view=_VIEW.name, users=arena.size.users)
    looking: dict[str, Any] = {"case": _CASE.name, "users": arena.size.users, "seconds": arena.size.turn_seconds}
    arena.ours.call("lookup", turn=0, **looking)
    publisher.call("step_aside")
    idle: list[int] = []
    for turn in range(arena.size.rounds):
        idle += arena.ours.call("lookup", turn=turn, **looking)
    busy: list[int] = []
    for _ in range(arena.size.publications):
        redis.flushdb()
        publishing = threading.Thread(target=publisher.call, args=("publish",))
        publishing.start()
        while publishing.is_alive():
            busy += arena.ours.call("lookup", turn=0, **(looking | {"seconds": 0.2}))
        publishing.join()
    alone, during = Times.of(idle), Times.of(busy)
    goal = Goal(must=5, aim=3)
    yield at_most("lookup 1x10 during a publication, p99", "idle", during.p99_ms, alone.p99_ms, "ms", goal)
    yield at_most("lookup 1x10 during a publication, p50", "idle", during.p50_ms, alone.p50_ms, "ms")


def _commands(redis: Redis) -> float:
    """Count all commands since the last reset, those inside scripts included."""
    found: dict[str, dict[str, int]] = redis.info("commandstats")
    return sum(stat["calls"] for name, stat in found.items() if name.removeprefix("cmdstat_") not in _RARE)


def _storm(arena: Arena, publisher: Contestant) -> Iterator[Figure]:
    """Publish changed features of users whose predictions are cached; nobody's model may run for it."""
    users = 1_000
    folder = str(arena.folder / "scored")
    publisher.call("open_store", folder=folder, url=arena.redis.database(2), rows=users, changed=users, scored=True)
    publisher.call("materialize", day=0, with_scores=True)
    found = publisher.call("live_calls", users=users)
    if found["statuses"] != {"CACHED": users}:
        raise AssertionError(f"the predictions of the first day are not cached: {found}")
    publisher.call("materialize", day=1)
    pending = publisher.call("live_calls", users=users)
    publisher.call("materialize", day=1, with_scores=True)
    scored = publisher.call("live_calls", users=users)
    calls = scored["calls"] - found["calls"]
    if pending["statuses"] != {"CACHED": users} or scored["statuses"] != {"CACHED": users}:
        raise AssertionError(f"the predictions did not stay cached: {pending}, then {scored}")
    yield counted("live inference caused by a scheduled feature publication", calls, "calls", Goal(must=0))
