"""Many callers of one process at once: threads, and tasks of one event loop."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.data import CASES
from benchmarks.figures import Figure, at_least
from benchmarks.timing import Times

__all__ = ["measure"]

_CASE = CASES["1x10"]
_CALLERS = (1, 8, 64)


def measure(arena: Arena) -> Iterator[Figure]:
    """Give microseconds a lookup (the reciprocal of lookups a second) and p99, for 1, 8 and 64 callers, in turns."""
    size = arena.size
    arena.ours.call("load", view=_CASE.views[0].name, users=size.users)
    for callers in _CALLERS:
        found: dict[str, list[int]] = {}
        elapsed: dict[str, float] = {}
        for turn in range(size.rounds + 1):
            for kind in ("threads", "tasks"):
                times, seconds = arena.ours.call(
                    "lookup_by",
                    kind=kind,
                    case=_CASE.name,
                    users=size.users,
                    turn=turn,
                    seconds=size.turn_seconds,
                    callers=callers,
                )
                if turn:
                    found.setdefault(kind, []).extend(times)
                    elapsed[kind] = elapsed.get(kind, 0.0) + seconds
        rates = {kind: 1e6 * elapsed[kind] / len(found[kind]) for kind in found}
        p99 = {kind: Times.of(times).p99_ms for kind, times in found.items()}
        name = f"lookup 1x10, {callers} callers"
        yield at_least(f"{name} in asyncio, time a lookup", "threads", rates["tasks"], rates["threads"], "µs")
        yield at_least(f"{name} in asyncio, p99", "threads", p99["tasks"], p99["threads"], "ms")
