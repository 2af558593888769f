"""Instants, half-open intervals and coverage: UTC, whole microseconds, no clock read here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = [
    "EPOCH",
    "Coverage",
    "Interval",
    "from_micros",
    "parse_instant",
    "show_duration",
    "show_instant",
    "to_micros",
    "to_utc",
    "utc_now",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def utc_now() -> datetime:
    """Read the wall clock; only entry points call it."""
    return datetime.now(UTC)


def to_utc(instant: datetime) -> datetime:
    """Give the instant in UTC; naive input is UTC already."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def to_micros(instant: datetime) -> int:
    """Count microseconds since the epoch (exact; may be negative)."""
    return (to_utc(instant) - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def parse_instant(text: str) -> datetime:
    """Read ISO 8601 (``2026-01-31``, ``2026-01-31T06:00Z``); without an offset it is UTC."""
    try:
        return to_utc(datetime.fromisoformat(text.strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an ISO 8601 instant, such as 2026-01-31 or 2026-01-31T06:00:00Z") from error


def show_instant(instant: datetime) -> str:
    """Write ISO 8601 with ``Z``; microseconds only where there are any."""
    return to_utc(instant).isoformat().replace("+00:00", "Z")


def show_duration(duration: timedelta) -> str:
    """Write a duration in the largest units that are not zero, at most two of them: ``1d 4h``, ``12s``, ``5ms``."""
    seconds = duration.total_seconds()
    if seconds < 0:
        return f"-{show_duration(-duration)}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    parts, rest = [], round(seconds)
    for unit, size in _UNITS.items():
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts[:2]) or "0s"


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The half-open range ``[start, end)`` of UTC instants."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", to_utc(self.start))
        object.__setattr__(self, "end", to_utc(self.end))
        if self.start > self.end:
            raise ValueError(f"an interval starts before it ends; found {self}")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"[{show_instant(self.start)}, {show_instant(self.end)})"

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    @property
    def is_empty(self) -> bool:
        return self.start == self.end

    def intersect(self, other: Interval) -> Interval | None:
        """Give the common part, or None where there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class Coverage:
    """A set of instants as sorted, disjoint, non-touching intervals."""

    stretches: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, intervals: Iterable[Interval]) -> Coverage:
        """Merge intervals that overlap or touch."""
        merged: list[Interval] = []
        for interval in sorted(interval for interval in intervals if not interval.is_empty):
            if merged and interval.start <= merged[-1].end:
                merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
            else:
                merged.append(interval)
        return cls(tuple(merged))

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.stretches)

    def __bool__(self) -> bool:
        return bool(self.stretches)

    @property
    def end(self) -> datetime | None:
        """The end of the last stretch."""
        return self.stretches[-1].end if self.stretches else None

    def covers(self, interval: Interval) -> bool:
        return interval.is_empty or any(s.start <= interval.start and interval.end <= s.end for s in self.stretches)

    def stretch_at(self, instant: datetime) -> Interval | None:
        """Find the stretch with ``start <= instant``, the last such one (an instant after its end included)."""
        before = [stretch for stretch in self.stretches if stretch.start <= instant]
        return before[-1] if before else None

    def missing(self, within: Interval) -> tuple[Interval, ...]:
        """Give the parts of ``within`` that are not covered."""
        gaps, cursor = [], within.start
        for stretch in self.stretches:
            if stretch.end <= cursor or stretch.start >= within.end:
                continue
            if stretch.start > cursor:
                gaps.append(Interval(cursor, stretch.start))
            cursor = max(cursor, stretch.end)
        if cursor < within.end:
            gaps.append(Interval(cursor, within.end))
        return tuple(gaps)
