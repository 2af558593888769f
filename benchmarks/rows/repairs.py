"""What a missing prediction costs the caller, beside the model itself."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure, at_most
from benchmarks.timing import alternate

__all__ = ["measure"]


def measure(arena: Arena) -> Iterator[Figure]:
    """Repair one user after the other: lock, model of 5 ms, write-back and answer; in turns with the model alone."""
    worker = arena.start("benchmarks.ours.repairs")
    calls = 100 if arena.size.rounds > 1 else 5
    worker.call(
        "open_store",
        folder=str(arena.folder / "repairs"),
        url=arena.redis.url,
        name="repairs",
        users=calls * (arena.size.rounds + 1),
        load="load_slow",
        max_age_seconds=86_400,
    )
    times = alternate(
        {"repair": lambda _: worker.call("repair", calls=calls), "model": lambda _: worker.call("bare", calls=calls)},
        arena.size.rounds,
    )
    repair, model = times["repair"], times["model"]
    yield at_most("repair of a missing prediction, model of 5 ms, p50", "model", repair.p50_ms, model.p50_ms, "ms")
    yield at_most("repair of a missing prediction, model of 5 ms, p99", "model", repair.p99_ms, model.p99_ms, "ms")
