"""Bytes of an entity in Redis: 50 features in one view."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure, Goal, at_most

__all__ = ["measure"]

_GOALS = {"double": Goal(must=0.60, aim=0.55), "single": Goal(must=0.40, aim=0.35)}
_FEAST_KNOWN = 1_000
"""What Feast took for 50 float64 features when the budgets were written; used where it does not take part."""


def measure(arena: Arena) -> Iterator[Figure]:
    """Load a view and ask MEMORY USAGE of a sample of the keys that came with it."""
    for view, goal in _GOALS.items():
        sizes = {name: _bytes_per_key(arena, name, view) for name in arena.contestants()}
        theirs = sizes.get("Feast", float(_FEAST_KNOWN))
        kind = "float64" if view == "double" else "float32"
        yield at_most(f"bytes per entity, 50 {kind}", "Feast", sizes["ours"], theirs, "B", goal)


def _is_row(name: str, key: bytes) -> bool:
    """Leave out our index of keys that no table knows: rows of a publication are not in it."""
    return name == "Feast" or key.startswith(b"{")


def _bytes_per_key(arena: Arena, name: str, view: str) -> float:
    """Give the mean of the new keys."""
    with arena.redis.client() as client:
        before = set(client.scan_iter(count=10_000))
        arena.contestants()[name].call("load", view=view, users=arena.size.users)
        fresh = [key for key in client.scan_iter(count=10_000) if key not in before and _is_row(name, key)]
        if not fresh:
            raise AssertionError(f"{name} made no key for {view}")
        usage = [client.memory_usage(key, samples=0) or 0 for key in fresh[:1000]]
        client.delete(*fresh)  # Feast keeps all views of an entity under one key
    return sum(usage) * len(fresh) / len(usage) / arena.size.users
