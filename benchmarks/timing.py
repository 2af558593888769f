"""Time calls one by one, and say what many times amount to. Standard library only."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Times", "alternate", "time_calls"]

_FEWEST = 5


def time_calls(call: Callable[[list[int]], object], requests: Sequence[list[int]], seconds: float) -> list[int]:
    """Call with each request in turn until ``seconds`` are over (five times at least); give nanoseconds."""
    gc.collect()
    times: list[int] = []
    ends = time.perf_counter() + seconds
    while len(times) < _FEWEST or time.perf_counter() < ends:
        request = requests[len(times) % len(requests)]
        start = time.perf_counter_ns()
        call(request)
        times.append(time.perf_counter_ns() - start)
    return times


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Nanoseconds of single calls."""

    sorted_ns: tuple[int, ...]

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> Times:
        return cls(sorted_ns=tuple(sorted(nanoseconds)))

    @property
    def count(self) -> int:
        return len(self.sorted_ns)

    def quantile_ms(self, share: float) -> float:
        """Give the time that ``share`` of the calls did not exceed."""
        place = min(int(share * len(self.sorted_ns)), len(self.sorted_ns) - 1)
        return self.sorted_ns[place] / 1e6

    @property
    def p50_ms(self) -> float:
        return self.quantile_ms(0.5)

    @property
    def p99_ms(self) -> float:
        return self.quantile_ms(0.99)


def alternate(contestants: dict[str, Callable[[int], Iterable[int]]], rounds: int) -> dict[str, Times]:
    """Let the contestants take turns, the first one changing; each gives the nanoseconds of its calls.

    A first turn of each is for warming up and is not counted.
    """
    names = list(contestants)
    found: dict[str, list[int]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name in names if turn % 2 else reversed(names):
            times = contestants[name](turn)
            if turn:
                found[name] += times
    return {name: Times.of(times) for name, times in found.items()}
