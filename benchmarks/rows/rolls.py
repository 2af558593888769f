"""A daily roll of windows from stored tiles against the same from all events of the windows."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure, Goal, at_least, at_most

__all__ = ["measure"]

_WINDOWS = [1 / 24, 1, 7, 30]
_INPUT = Goal(must=10, aim=30)
_HOT_SHARE = 0.3
_EXACT = ["count", "sum"]
_ALL = [*_EXACT, "mean"]


def measure(arena: Arena) -> Iterator[Figure]:
    """Roll day 31 of four windows; then windows of ten days and a year; then events of which one user has many."""
    events = arena.size.rolled_events
    if not events:
        return
    roller = arena.start("benchmarks.ours.roller")
    users = max(events // 200, 1)

    def open_source(name: str, days: int, events_a_day: int, hot_share: float = 0.0) -> None:
        folder = str(arena.folder / name)
        roller.call(
            "open_source", folder=folder, days=days, users=users, events_a_day=events_a_day, hot_share=hot_share
        )

    open_source("month", 31, events)
    roller.call("roll", day=30, window_days=_WINDOWS, functions=_ALL)
    full = roller.call("recompute", day=31, window_days=_WINDOWS, functions=_ALL)
    roll = roller.call("roll", day=31, window_days=_WINDOWS, functions=_ALL)
    rows = roll["rows_read"] + roll["tiles_read"]
    what = "roll of 1 h, 1 d, 7 d and 30 d, day 31"
    yield at_least(f"{what}: rows read", "recompute", rows, full["rows_read"], "rows", _INPUT)
    yield at_least(f"{what}: bytes read", "recompute", roll["bytes"], full["bytes"], "bytes", _INPUT)
    yield at_least(f"{what}: time", "recompute", roll["seconds"], full["seconds"], "s")

    open_source("year", 366, max(events // 10, 1))
    for name, functions, short in (
        ("all functions", _ALL, 1),
        ("counts and sums", _EXACT, 1),
        ("the same", _EXACT, 10),
    ):
        for window in (short, 365):
            for day in (364, 365):
                roller.call("roll", day=day, window_days=[window], functions=functions)
        rolled = [roller.call("roll", day=366, window_days=[w], functions=functions) for w in (short, 365)]
        what, rival = f"roll of 365 d, {name}", f"of {short} d"
        yield at_most(f"{what}: tiles read", rival, rolled[1]["tiles_read"], rolled[0]["tiles_read"], "tiles")
        yield at_most(f"{what}: bytes read", rival, rolled[1]["bytes"], rolled[0]["bytes"], "bytes")
        yield at_most(f"{what}: time", rival, rolled[1]["seconds"], rolled[0]["seconds"], "s")

    times = []
    for name, share in (("uniform", 0.0), ("skewed", _HOT_SHARE)):
        open_source(name, 8, events, share)
        times.append(roller.call("roll", day=8, window_days=[7], functions=_ALL)["seconds"])
    yield at_most("first roll, one user has 30 % of the events: time", "uniform", times[1], times[0], "s")
    roller.call("close")
