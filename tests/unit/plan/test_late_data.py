"""Which steps a changed input row affects: by the definition, and for any change at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.engines.reference.events import Events, events_by_key
from featurestore.engines.reference.feature_rows import aggregate_rows
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    EventQuery,
    FieldNode,
    SourceInput,
    SqlTransformation,
    ViewNode,
)
from featurestore.ir.schedule import parse_schedule
from featurestore.plan.late_data import Reach, Touched, affected, plan_repairs, reach_of, split_at
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Int64
from tests.support.nodes import START, aggregate_view, clicks, manifest_of, plain_view, reads

DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)


def at(days: float) -> datetime:
    return START + days * DAY


def span(first: float, last: float) -> Interval:
    return Interval(at(first), at(last))


def moment(days: float) -> Interval:
    """Give the times of a single event."""
    return Interval(at(days), at(days) + TICK)


def touched(first: float, last: float | None = None, **overrides: Any) -> tuple[Touched, Reach]:
    times = moment(first) if last is None else span(first, last)
    return Touched(**{"input": "clicks", "times": times, "rows": 1, **overrides}), Reach.EVENTS


def windowed(window: timedelta | None, **overrides: Any) -> ViewNode:
    item = AggregationNode(name="n", function=AggregationFunction.COUNT, column=None, window=window, dtype=Int64)
    features = (FieldNode(name="n", dtype=Int64),)
    return aggregate_view(transformation=Aggregations(items=(item,)), features=features, **overrides)


def query(**options: Any) -> ViewNode:
    values: dict[str, Any] = {"text": "SELECT 1", "per": "step", "lookback": None}
    return plain_view(transformation=SqlTransformation(**(values | options)))


@pytest.mark.parametrize(
    ("view", "when", "expected"),
    [
        (plain_view(), 2.5, (2, 3)),
        (plain_view(), 2.0, (2, 3)),
        # Step ends in (h, h + 7 days], and the one where the event has just left the window.
        (windowed(7 * DAY), 2.5, (2, 10)),
        (windowed(7 * DAY), 2.0, (2, 10)),
        (windowed(HOUR), 2.5, (2, 3)),
        (windowed(HOUR), 2.99, (2, 4)),
        (windowed(DAY, schedule=parse_schedule("@hourly")), 2.5, (2.5, 3.5 + 1 / 24)),
        (query(), 2.5, (2, 3)),
        (query(lookback=3 * DAY), 2.5, (2, 5)),
        (query(lookback=3 * DAY), 2.0, (2, 5)),
        (query(lookback=HOUR), 2.5, (2, 3)),
        (query(per="row"), 2.5, (2, 3)),
        (query(per="row", lookback=3 * DAY), 2.5, (2, 6)),
        (query(per="row", lookback=3 * DAY), 2.0, (2, 6)),
    ],
)
def test_steps_that_read_an_event(view: ViewNode, when: float, expected: tuple[float, float]) -> None:
    assert affected(view, Reach.EVENTS, moment(when)) == span(*expected)


def test_windows_over_what_a_query_makes_of_events() -> None:
    """A row that the query makes of an event may lie as much later as ``lookback``, and be of any key."""
    made = EventQuery(transformation=SqlTransformation(text="SELECT 1", per="row", lookback=2 * DAY), columns=())
    view = windowed(DAY)
    assert isinstance(view.transformation, Aggregations)
    view = replace(view, transformation=replace(view.transformation, events=made))
    assert affected(view, Reach.EVENTS, moment(2.5)) == span(2, 6)
    (repair,) = plan_repairs(view, Coverage.of([span(0, 10)]), [touched(2.5)])
    assert (repair.interval, repair.whole) == (span(2, 6), True)


def test_steps_without_end() -> None:
    assert affected(windowed(None), Reach.EVENTS, moment(2.5)).start == at(2)
    assert affected(query(), Reach.SNAPSHOT, moment(2.0)).start == at(1), "a row at a step end is in its snapshot"
    for view, reach in ((windowed(None), Reach.EVENTS), (query(), Reach.SNAPSHOT), (query(), Reach.EVERYTHING)):
        assert affected(view, reach, moment(2.5)).end > at(10**6)


def test_what_steps_read_of_an_input() -> None:
    sources = {"clicks": clicks(), "users": clicks(name="users", timestamp_field=None)}
    both = (SourceInput(source="clicks"), SourceInput(source="users"), reads("stats", "total"))
    code = SqlTransformation(text="", per="row", lookback=None)
    joined = plain_view(name="joined", inputs=both, transformation=code)
    child = plain_view(name="child", inputs=(reads("stats", "total"),))
    rowwise = plain_view(name="rowwise", inputs=(reads("stats", "total"),), transformation=code)
    manifest = manifest_of(joined, child, rowwise, aggregate_view(), sources=sources)
    found = [reach_of(manifest, joined, name) for name in ("clicks", "users", "stats")]
    assert found == [Reach.EVENTS, Reach.EVERYTHING, Reach.SNAPSHOT]
    assert reach_of(manifest, child, "stats") is reach_of(manifest, rowwise, "stats") is Reach.EVENTS


def test_repairs_are_merged_clipped_to_the_coverage_and_cut() -> None:
    view, coverage = windowed(2 * DAY), Coverage.of([span(0, 6), span(8, 12)])
    early, late, between = touched(1.5), touched(3.2), touched(6.5)
    repairs = plan_repairs(view, coverage, [early, late, between])
    assert [(repair.interval, repair.first, repair.whole) for repair in repairs] == [
        (span(1, 6), False, False),
        (span(8, 9), True, False),
    ]
    assert repairs[0].touched == (early[0], late[0])
    assert repairs[1].touched == (between[0],)
    pieces = plan_repairs(view, coverage, [early, late], most_steps=2)
    assert [piece.interval for piece in pieces] == [span(1, 3), span(3, 5), span(5, 6)]
    assert pieces[0].touched == (early[0],), "the step from 3 on is the first that reads the later event"


def test_all_keys_where_they_are_not_known_or_code_may_mix_them() -> None:
    coverage = Coverage.of([span(0, 10)])
    repairs = plan_repairs(windowed(DAY), coverage, [touched(2.5), touched(4.5, 6, keys_known=False)])
    assert [(repair.interval, repair.whole) for repair in repairs] == [(span(2, 4), False), (span(4, 7), True)]
    (repair,) = plan_repairs(query(), coverage, [touched(2.5)])
    assert (repair.interval, repair.whole) == (span(2, 3), True)
    dimension = Touched(input="users", times=None)
    (repair,) = plan_repairs(query(), coverage, [(dimension, Reach.EVERYTHING)], within=span(7, 20))
    assert (repair.interval, repair.first, repair.whole) == (span(7, 10), False, True)


def test_without_schedule_the_runs_are_the_steps() -> None:
    view, coverage = query(per="step"), Coverage.of([span(0, 10)])
    view = plain_view(transformation=view.transformation, schedule=None)
    runs = [span(0, 4), span(4, 10)]
    assert [r.interval for r in plan_repairs(view, coverage, [touched(5)], runs=runs)] == [span(4, 10)]
    plain = plain_view(schedule=None)
    assert [r.interval for r in plan_repairs(plain, coverage, [touched(5)], runs=runs)] == [moment(5)]


def test_late_data_cuts_what_is_touched() -> None:
    one, _ = touched(2, 4)
    older, due = split_at(one, at(3))
    assert older is not None and older.times == span(2, 3)
    assert due is not None and due.times == span(3, 4)
    assert split_at(one, at(4)) == (one, None)
    assert split_at(one, at(2)) == (None, one)


EVENT = st.tuples(st.integers(0, 1), st.integers(0, 8 * 24))


@settings(max_examples=150)
@given(
    events=st.lists(EVENT, max_size=8),
    late=st.lists(EVENT, min_size=1, max_size=2),
    window=st.sampled_from([6, 24, 36, 72]),
    period=st.sampled_from(["@daily", "0 */6 * * *"]),
)
def test_rows_differ_only_in_affected_steps_of_touched_keys(
    events: list[tuple[int, int]], late: list[tuple[int, int]], window: int, period: str
) -> None:
    """The oracle over the source before and after: no row outside of the planned repairs differs."""
    view, coverage = windowed(window * HOUR, schedule=parse_schedule(period)), span(1, 8)

    def rows(hours: list[tuple[int, int]]) -> set[Any]:
        found: Events = events_by_key(
            view, clicks(), [{"user_id": k, "ts": START + h * HOUR, "clicked": 1} for k, h in hours]
        )
        return {(row.key, row.event_timestamp, row.values) for row in aggregate_rows(view, found, coverage, first=True)}

    changed = {(key[0], event) for key, event, _ in rows(events) ^ rows(events + late)}
    for key in {key for key, _ in late}:
        about = [touched(hour / 24) for one, hour in late if one == key]
        repairs = plan_repairs(view, Coverage.of([coverage]), about)
        inside = {
            (one, event)
            for one, event in changed
            if one == key and any(repair.interval.start < event <= repair.interval.end for repair in repairs)
        }
        changed -= inside
    assert changed == set()
