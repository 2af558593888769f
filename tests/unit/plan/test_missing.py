"""Missing steps, against an oracle that looks at every minute's schedule step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.intervals import Coverage, Interval
from featurestore.ir.schedule import ScheduleNode, parse_schedule
from featurestore.plan.missing import first_step, missing_steps, step_parts, whole_steps
from tests.support.nodes import START, plain_view

SCHEDULES = [parse_schedule(text) for text in ("0 */6 * * *", "@daily", "30 2 * * 1")]
SCHEDULES.append(parse_schedule(timedelta(hours=7)))


def hours(start: float, end: float) -> Interval:
    return Interval(START + timedelta(hours=start), START + timedelta(hours=end))


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    start, length = draw(st.integers(-60, 300)), draw(st.integers(0, 200))
    return hours(start / 2, (start + length) / 2)


def naive(schedule: ScheduleNode, start: datetime, coverage: Coverage, bounds: Interval) -> list[Interval]:
    """Walk the grid from far before; an instant on the half-hour grid is missing when it lies in a whole step."""
    missing: list[Interval] = []
    end = schedule.previous(START - timedelta(days=60))
    while end <= bounds.end:
        step, end = Interval(end, schedule.next(end)), schedule.next(end)
        if step.start >= max(bounds.start, start) and step.end <= bounds.end:
            slots = [
                Interval(at, at + timedelta(minutes=30))
                for at in (
                    step.start + timedelta(minutes=30) * n for n in range(step.duration // timedelta(minutes=30))
                )
            ]
            missing += Coverage.of(slot for slot in slots if not coverage.covers(slot))
    return missing


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SCHEDULES), intervals(), st.lists(intervals(), max_size=4), st.integers(-20, 40))
def test_missing_steps_are_those_of_the_oracle(
    schedule: ScheduleNode, bounds: Interval, done: list[Interval], start: int
) -> None:
    view = plain_view(schedule=schedule, start=START + timedelta(hours=start))
    coverage = Coverage.of(done)
    found = missing_steps(view, coverage, bounds)
    assert list(found) == naive(schedule, START + timedelta(hours=start), coverage, bounds)
    parts = step_parts(view, coverage, bounds)
    assert tuple(part for part, covered in parts if not covered) == found
    assert Coverage.of(part for part, _ in parts) == Coverage.of(whole_steps(view, bounds).steps)
    assert all(coverage.covers(part) for part, covered in parts if covered)


def test_bounds_off_the_grid_leave_their_ends_out() -> None:
    split = whole_steps(plain_view(), hours(6, 78))
    assert split.steps == (hours(24, 48), hours(48, 72))
    assert split.left_out == (hours(6, 24), hours(72, 78))


def test_a_view_without_schedule_misses_what_is_not_covered_since_its_start() -> None:
    view = plain_view(schedule=None)
    assert whole_steps(view, hours(-5, 5)).left_out == (hours(-5, 0),)
    assert missing_steps(view, Coverage.of([hours(1, 2)]), hours(-5, 5)) == (hours(0, 1), hours(2, 5))


def test_an_added_finer_schedule_leaves_no_step_to_do_twice() -> None:
    weekly = plain_view(schedule=parse_schedule(timedelta(days=7)), start=datetime(2026, 1, 1, tzinfo=UTC))
    assert missing_steps(weekly, Coverage.of([hours(0, 48)]), hours(0, 168)) == (hours(48, 168),)


@pytest.mark.parametrize(("start", "expected"), [(0, hours(0, 24)), (1, hours(24, 48))])
def test_the_first_step_is_the_first_whole_one(start: int, expected: Interval) -> None:
    assert first_step(plain_view(start=START + timedelta(hours=start))) == expected
    assert first_step(plain_view(schedule=None)) is None
