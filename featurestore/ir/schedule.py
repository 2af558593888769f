"""The grid of step ends: cron in UTC, or a fixed period anchored at the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from featurestore.intervals import EPOCH, Interval, show_duration, to_utc

__all__ = ["PRESETS", "CronSchedule", "PeriodSchedule", "ScheduleNode", "parse_schedule"]

PRESETS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    def next(self, instant: datetime) -> datetime:
        """Give the first step end after ``instant``."""
        raise TypeError(f"{type(self).__name__} has no grid")

    def previous(self, instant: datetime) -> datetime:
        """Give the last step end before ``instant``."""
        raise TypeError(f"{type(self).__name__} has no grid")

    def floor(self, instant: datetime) -> datetime:
        """Give the last step end at or before ``instant``."""
        return self.previous(instant + timedelta(microseconds=1))

    def is_on_grid(self, instant: datetime) -> bool:
        return self.floor(instant) == to_utc(instant)

    def steps(self, bounds: Interval) -> Iterator[Interval]:
        """Give the whole steps inside ``bounds``, in order."""
        start = self.floor(bounds.start)
        if start < bounds.start:
            start = self.next(bounds.start)
        while (end := self.next(start)) <= bounds.end:
            yield Interval(start, end)
            start = end


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSchedule(_Grid):
    """Five cron fields, read in UTC."""

    expression: str

    def __str__(self) -> str:
        return self.expression

    def next(self, instant: datetime) -> datetime:
        from croniter import croniter

        return to_utc(croniter(self.expression, to_utc(instant)).get_next(datetime))

    def previous(self, instant: datetime) -> datetime:
        from croniter import croniter

        return to_utc(croniter(self.expression, to_utc(instant)).get_prev(datetime))


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodSchedule(_Grid):
    """Every ``period``, counted from the epoch."""

    period: timedelta

    def __str__(self) -> str:
        return f"every {show_duration(self.period)}"

    def next(self, instant: datetime) -> datetime:
        return EPOCH + ((to_utc(instant) - EPOCH) // self.period + 1) * self.period

    def previous(self, instant: datetime) -> datetime:
        steps_up = -((EPOCH - to_utc(instant)) // self.period)
        return EPOCH + (steps_up - 1) * self.period


ScheduleNode = CronSchedule | PeriodSchedule


def parse_schedule(schedule: str | timedelta) -> ScheduleNode:
    """Read a definition's schedule; ValueError says what is valid."""
    if isinstance(schedule, timedelta):
        if schedule <= timedelta(0) or schedule % timedelta(minutes=1):
            raise ValueError(f"a period is a positive whole number of minutes; found {schedule}")
        return PeriodSchedule(period=schedule)
    from croniter import croniter

    expression = PRESETS.get(schedule, schedule)
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError(
            f"{schedule!r} is no schedule; valid are five cron fields in UTC, {', '.join(PRESETS)}, or a timedelta"
        )
    return CronSchedule(expression=expression)
