"""Batch scoring by Spark against a plain ``pandas_udf`` over the same rows."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure, at_most

__all__ = ["measure"]


def measure(arena: Arena) -> Iterator[Figure]:
    """Score all keys of two days, each once by us and once by the function; the first day warms up."""
    rows = arena.size.scored_rows
    if not rows:
        return
    publisher = arena.start("benchmarks.ours.publisher")
    folder = str(arena.folder / "scoring")
    publisher.call("open_store", folder=folder, url=arena.redis.url, rows=rows, changed=rows, scored=True)
    for day in (0, 1):
        publisher.call("materialize", day=day)
        ours = publisher.call("score", day=day)
        plain = publisher.call("score_plainly", day=day)
        if ours["rows"] != rows or plain["rows"] != rows:
            raise AssertionError(f"not all of {rows} rows were scored: {ours}, {plain}")
    publisher.call("close")
    cores = len(os.sched_getaffinity(0))
    per_row = [1e6 * found["seconds"] * cores / rows for found in (ours, plain)]
    yield at_most(
        f"score {rows:,} rows: point-in-time read, model, checked commit", "pandas_udf", *per_row, "µs/row/core"
    )
