"""A backfill of a month against a plain Spark ``groupBy`` for each day and window."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure, at_least

__all__ = ["measure"]

_DAYS = 30


def measure(arena: Arena) -> Iterator[Figure]:
    """Compute thirty daily steps of nine features over 1, 7 and 30 days, by us and by the script; same events read."""
    events = arena.size.scored_rows
    if not events:
        return
    worker = arena.start("benchmarks.ours.backfiller")
    worker.call("open_store", folder=str(arena.folder / "backfill"), url=arena.redis.url, events=events, days=_DAYS)
    plain = worker.call("plainly", days=_DAYS)
    ours = worker.call("backfill", days=_DAYS, parallel=1)
    found = worker.call("totals", days=_DAYS)
    worker.call("close")
    if found["ours"] != found["plain"]:
        raise AssertionError(f"the two sides count differently: {found}")
    cores = len(os.sched_getaffinity(0))
    per_row = [1e6 * side["seconds"] * cores / events for side in (ours, plain)]
    yield at_least(f"backfill of {_DAYS} daily steps, {events:,} events", "Spark groupBy", *per_row, "µs/row/core")
    read = [side["input_bytes"] / 1e6 for side in (ours, plain)]
    yield at_least(f"bytes read by that, {ours['runs']} runs", "Spark groupBy", *read, "MB")
    jobs = [side["spark_jobs"] for side in (ours, plain)]
    yield at_least("Spark jobs of that", "Spark groupBy", *jobs, "jobs")
