"""Counts taken while rows pass, so that no second pass is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Observation

__all__ = ["PassCounts"]


class PassCounts:
    """Count rows of frames as a query evaluates them; counts of one name add up."""

    def __init__(self) -> None:
        self._observations: list[Observation] = []

    def observe(self, frame: DataFrame, **counts: Column) -> DataFrame:
        """Give the same rows, counted by the given aggregates."""
        observation = Observation()
        self._observations.append(observation)
        return frame.observe(observation, *(count.alias(name) for name, count in counts.items()))

    def read(self) -> Mapping[str, int]:
        """Give the counts; waits until each counted frame has been evaluated once."""
        total: Counter[str] = Counter()
        for observation in self._observations:
            total.update({name: int(count) for name, count in observation.get.items()})
        return dict(total)
