"""Lookups with cached predictions against the same lookups without."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.arena import Arena
from benchmarks.data import CASES
from benchmarks.figures import Figure, Goal, at_most
from benchmarks.timing import alternate

__all__ = ["measure"]

_SCORES = {"1x10": "ten_score:score", "100x50": "left_score:score", "1000x50": "left_score:score"}


def measure(arena: Arena) -> Iterator[Figure]:
    """Have all predictions made once, then look the same users up with and without them, in turns."""
    size = arena.size
    for case in CASES.values():
        for view in case.views:
            arena.ours.call("load", view=view.name, users=size.users)
        score = _SCORES[case.name]
        arena.ours.call("predict_all", ref=score, users=size.users)
        turn = partial(arena.ours.call, "lookup", case=case.name, users=size.users, seconds=size.turn_seconds)
        before = arena.ours.call("model_calls")
        times = alternate(
            {
                "with": lambda number, turn=turn, score=score: turn(turn=number, more=[score]),
                "without": lambda number, turn=turn: turn(turn=number),
            },
            size.rounds,
        )
        if arena.ours.call("model_calls") != before:
            raise AssertionError(f"{case.name}: the model ran; the predictions were not cached")
        name = f"lookup {case.name} with a cached prediction"
        goal = Goal(must=1.2, aim=1.1)
        yield at_most(f"{name}, p50", "without", times["with"].p50_ms, times["without"].p50_ms, "ms", goal)
        yield at_most(f"{name}, p99", "without", times["with"].p99_ms, times["without"].p99_ms, "ms")
