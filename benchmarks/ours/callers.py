"""Many callers of one process at once: threads, or tasks of one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from featurestore import FeatureStore

__all__ = ["lookup_by_tasks", "lookup_by_threads"]


def lookup_by_threads(
    store: FeatureStore, refs: list[str], requests: Sequence[list[int]], seconds: float, callers: int
) -> tuple[list[int], float]:
    """Let each thread look up without a pause; give nanoseconds of each lookup, and the seconds of all."""
    begun = time.perf_counter()

    def work(number: int) -> list[int]:
        times: list[int] = []
        while time.perf_counter() - begun < seconds:
            rows = [{"user_id": user} for user in requests[(number + len(times)) % len(requests)]]
            start = time.perf_counter_ns()
            store.get_online_features(refs, rows).to_dict()
            times.append(time.perf_counter_ns() - start)
        return times

    with ThreadPoolExecutor(callers) as threads:
        found = [taken for times in threads.map(work, range(callers)) for taken in times]
    return found, time.perf_counter() - begun


def lookup_by_tasks(
    store: FeatureStore, refs: list[str], requests: Sequence[list[int]], seconds: float, callers: int
) -> tuple[list[int], float]:
    """Let each task of one event loop look up without a pause."""

    async def work(number: int, begun: float) -> list[int]:
        times: list[int] = []
        while time.perf_counter() - begun < seconds:
            rows = [{"user_id": user} for user in requests[(number + len(times)) % len(requests)]]
            start = time.perf_counter_ns()
            (await store.get_online_features_async(refs, rows)).to_dict()
            times.append(time.perf_counter_ns() - start)
        return times

    async def run() -> tuple[list[int], float]:
        await store.get_online_features_async(refs, [{"user_id": 1}])
        begun = time.perf_counter()
        found = await asyncio.gather(*(work(number, begun) for number in range(callers)))
        elapsed = time.perf_counter() - begun
        await store.aclose()
        return [taken for times in found for taken in times], elapsed

    return asyncio.run(run())
