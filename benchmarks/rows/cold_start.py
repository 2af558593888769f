"""From the start of a Python process to the answer of its first lookup."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.arena import Arena
from benchmarks.figures import Figure, Goal, at_least
from benchmarks.servers import feast_python

__all__ = ["measure"]

_OURS = """
import sys
from featurestore import FeatureStore
config = {"project": "bench", "online_store": {"type": "redis", "connection_string": sys.argv[2]}}
store = FeatureStore(sys.argv[1], config)
assert store.get_online_features(["ten:ten_0"], [{"user_id": 1}]).to_dict()["ten_0"][0] is not None
"""
_FEAST = """
import sys
from feast import FeatureStore
store = FeatureStore(repo_path=sys.argv[1])
answer = store.get_online_features(features=["ten:ten_0"], entity_rows=[{"user_id": 1}]).to_dict()
assert answer["ten_0"][0] is not None
"""
_NOTHING = ""


def measure(arena: Arena) -> Iterator[Figure]:
    """Take turns; an empty Python process is in both, and is shown beside them."""
    arena.load("ten")
    ours = [sys.executable, "-c", _OURS, str(arena.folder / "ours"), arena.redis.url]
    sides = {"ours": ours, "Python alone": [sys.executable, "-c", _NOTHING]}
    if arena.with_feast:
        sides["Feast"] = [str(feast_python()), "-c", _FEAST, str(arena.folder / "feast")]
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(arena.size.cold_starts + 1):
        for name, command in sides.items():
            took = _run(command, arena.folder)
            if turn:  # the first one may write byte code
                seconds[name].append(took)
    found = {name: median(values) for name, values in seconds.items()}
    if "Feast" in found:
        goal = Goal(must=5, aim=10)
        yield at_least("import and first lookup, cold process", "Feast", found["ours"], found["Feast"], "s", goal)
    yield at_least("import and first lookup, cold process", "Python alone", found["ours"], found["Python alone"], "s")


def _run(command: Sequence[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
