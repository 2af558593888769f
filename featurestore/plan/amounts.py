"""How much of a source lies in a range of event times, by its statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from featurestore.intervals import Interval

__all__ = ["SourceAmount", "SourcePart", "amount_within"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """A file or row group: its rows, bytes, and least and greatest event time; None where that is not known."""

    rows: int | None
    size: int
    least: datetime | None = None
    greatest: datetime | None = None

    def share(self, interval: Interval) -> float:
        """Estimate the share of its rows in an interval, as if they were spread evenly; all where nothing is known."""
        if self.least is None or self.greatest is None:
            return 1.0
        if self.greatest == self.least:
            return 1.0 if self.least in interval else 0.0
        start, end = max(self.least, interval.start), min(self.greatest, interval.end)
        return max((end - start) / (self.greatest - self.least), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAmount:
    """Rows, None where they are not known, and bytes."""

    rows: float | None
    size: float


def amount_within(parts: Iterable[SourcePart], intervals: Sequence[Interval]) -> SourceAmount:
    """Add up what lies in each of the intervals; what two of them share counts twice, as it is read twice."""
    rows: float | None = 0.0
    size = 0.0
    for part in parts:
        share = sum(part.share(interval) for interval in intervals)
        size += part.size * share
        rows = None if rows is None or part.rows is None else rows + part.rows * share
    return SourceAmount(rows=rows, size=size)
