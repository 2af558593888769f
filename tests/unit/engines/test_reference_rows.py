"""The oracle's table rows and lookups by examples worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from featurestore.engines.base import ComputeRequest
from featurestore.engines.reference.engine import ReferenceEngine
from featurestore.engines.reference.events import events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, aggregate_rows, plain_rows
from featurestore.engines.reference.lookup import as_of, holds, point_in_time
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    CodeRef,
    EventQuery,
    FieldNode,
    FunctionTransformation,
    SourceInput,
    SqlTransformation,
    ViewNode,
)
from featurestore.spec.aggregation import AggregationFunction as F
from featurestore.spec.dtypes import Int64
from tests.support.nodes import START, aggregate_view, clicks, plain_view

DAY = timedelta(days=1)


def at(day: float) -> Any:
    return START + day * DAY


def event(day: float, clicked: int | None, user: int | None = 1) -> dict[str, Any]:
    return {"user_id": user, "ts": at(day), "clicked": clicked}


def stats(window_days: int | None = 2, **overrides: Any) -> ViewNode:
    """A count and a sum over the same window, stepped daily."""
    window = None if window_days is None else window_days * DAY
    items = tuple(
        AggregationNode(name=name, function=function, column="clicked", window=window, dtype=Int64, where=None)
        for name, function in (("clicks", F.COUNT), ("total", F.SUM))
    )
    features = tuple(FieldNode(name=item.name, dtype=Int64) for item in items)
    return aggregate_view(**({"transformation": Aggregations(items=items), "features": features} | overrides))


def table(view: ViewNode, events: list[dict[str, Any]], first_day: int, last_day: int) -> dict[Any, tuple[Any, ...]]:
    """The rows of one covered stretch as {(user, day): values}."""
    interval = Interval(at(first_day), at(last_day))
    rows = aggregate_rows(view, events_by_key(view, clicks(), events), interval, first=True)
    return {(row.key[0], (row.event_timestamp - START) / DAY): row.values for row in rows}


def test_a_row_where_an_event_comes_in_or_falls_out() -> None:
    assert table(stats(), [event(0.5, 3), event(3.5, 4)], 0, 9) == {
        (1, 1): (1, 3),
        (1, 3): (0, None),
        (1, 4): (1, 4),
        (1, 6): (0, None),
    }


def test_a_window_is_half_open() -> None:
    assert table(stats(1), [event(1, 3)], 0, 4) == {(1, 2): (1, 3), (1, 3): (0, None)}


def test_equal_values_of_different_events_are_no_row() -> None:
    assert table(stats(1), [event(0.5, 3), event(1.5, 3), event(2.5, 5)], 0, 3) == {(1, 1): (1, 3), (1, 3): (1, 5)}


def test_the_first_step_of_a_stretch_states_each_key_that_has_events_or_had_them_a_step_before() -> None:
    assert table(stats(7), [event(0.5, 3)], 4, 6) == {(1, 5): (1, 3)}
    assert table(stats(4), [event(0.5, 3)], 4, 6) == {(1, 5): (0, None)}
    assert table(stats(2), [event(0.5, 3)], 4, 6) == {}


def test_a_later_run_of_a_stretch_goes_on_from_the_step_before() -> None:
    view = stats(2)
    events = events_by_key(view, clicks(), [event(0.5, 3)])
    whole = aggregate_rows(view, events, Interval(at(0), at(4)), first=True)
    parts = [
        row
        for start in (3, 1, 0, 2)
        for row in aggregate_rows(view, events, Interval(at(start), at(start + 1)), first=start == 0)
    ]
    assert sorted(parts, key=lambda row: row.event_timestamp) == whole


def test_a_key_that_only_ever_had_nulls_has_a_row() -> None:
    assert table(stats(2), [event(0.5, None)], 0, 5) == {(1, 1): (0, None)}


def test_events_before_the_first_step_are_looked_back_at() -> None:
    assert table(stats(None), [event(-400, 2)], 0, 3) == {(1, 1): (1, 2)}


def test_null_keys_are_dropped() -> None:
    assert table(stats(), [event(0.5, 1, user=None), event(0.5, 1, user=2)], 0, 1) == {(2, 1): (1, 1)}


def test_predicates_choose_rows_and_not_the_presence_of_keys() -> None:
    view = stats()
    assert isinstance(view.transformation, Aggregations)
    where = "clicked > 3"
    items = tuple(
        AggregationNode(
            name=item.name, function=item.function, column=item.column, window=DAY, dtype=Int64, where=where
        )
        for item in view.transformation.items
    )
    view = stats(transformation=Aggregations(items=items))
    events = events_by_key(view, clicks(), [event(0.5, 3), event(0.6, None), event(1.5, 4)])
    rows = aggregate_rows(
        view,
        events,
        Interval(at(0), at(2)),
        first=True,
        predicates={where: lambda row: None if row["clicked"] is None else row["clicked"] > 3},
    )
    assert [row.values for row in rows] == [(0, None), (1, 4)]


def row(day: float, *values: Any, created: float | None = None, **overrides: Any) -> FeatureRow:
    stated = at(day if created is None else created)
    return FeatureRow(
        **({"key": (1,), "event_timestamp": at(day), "created_timestamp": stated, "values": values} | overrides)
    )


def test_plain_rows_are_the_sources_and_expire_after_the_ttl_inclusive() -> None:
    view = plain_view(ttl=DAY)
    events = events_by_key(view, clicks(), [event(0.5, 3), event(1, 4), event(0.5, 1, user=None)])
    rows = plain_rows(view, events, Interval(at(0), at(1)), created=at(2))
    assert rows == [row(0.5, 3, created=2)]
    answers = point_in_time(
        [((1,), at(0.4)), ((1,), at(0.5)), ((1,), at(1.5)), ((1,), at(1.6))], rows, view, Coverage()
    )
    assert answers == [(None,), (3,), (3,), (None,)]


def test_the_newest_rows_null_stays_null() -> None:
    rows = [row(1, 5), row(2, None)]
    assert (
        point_in_time([((1,), at(3)), ((2,), at(3)), ((None,), at(3))], rows, plain_view(), Coverage()) == [(None,)] * 3
    )
    found = as_of(rows, (1,), at(3), plain_view(), Coverage())
    assert found is not None and found.event_timestamp == at(2)


def test_of_one_event_time_the_greatest_created_counts_then_the_value() -> None:
    view, rows = plain_view(), [row(1, 5, created=3), row(1, 9, created=2), row(1, 4, created=3)]
    assert point_in_time([((1,), at(4))], rows, view, Coverage()) == [(5,)]
    assert point_in_time([((1,), at(2))], rows, view, Coverage(), created_before_event=True) == [(9,)]


def test_a_deleted_statement_takes_its_event_time_away() -> None:
    rows = [row(1, 5), row(2, 6), row(2, None, created=3, is_deleted=True)]
    assert point_in_time([((1,), at(4))], rows, plain_view(), Coverage()) == [(5,)]
    assert point_in_time([((1,), at(2))], rows, plain_view(), Coverage(), created_before_event=True) == [(6,)]


def test_an_aggregate_row_holds_to_the_end_of_its_stretch_and_expires_from_there() -> None:
    view, coverage = stats(ttl=DAY), Coverage.of([Interval(at(0), at(5)), Interval(at(8), at(9))])
    rows = [row(1, 1, 3)]
    spine = [((1,), at(day)) for day in (1, 4.5, 6, 6.1)]
    assert point_in_time(spine, rows, view, coverage) == [(1, 3), (1, 3), (1, 3), (None, None)]


def test_an_emptied_row_does_not_hold() -> None:
    rows, coverage = [row(1, 0, None)], Coverage.of([Interval(at(0), at(9))])
    for view, life in ((stats(ttl=3 * DAY), 3), (stats(2), 2), (stats(2, ttl=timedelta(0)), 2)):
        assert not holds(view, rows[0])
        assert as_of(rows, (1,), at(1 + life), view, coverage) == rows[0]
        assert as_of(rows, (1,), at(1 + life + 0.01), view, coverage) is None
    assert as_of(rows, (1,), at(500), stats(None), coverage) == rows[0]


def test_holding_is_judged_by_values() -> None:
    assert holds(stats(), row(1, 1, None))
    assert holds(stats(), row(1, 0, 0))
    assert not holds(plain_view(), row(1, 5))


def test_scheduled_availability_waits_for_the_end_of_the_step_and_the_delay() -> None:
    delay = timedelta(hours=6)
    plain, rows = plain_view(data_delay=delay), [row(0.5, 7)]
    for day, expected in ((0.5, None), (1.2, None), (1.25, 7)):
        assert point_in_time([((1,), at(day))], rows, plain, Coverage(), availability="scheduled") == [(expected,)]
    aggregate, rows = stats(data_delay=delay), [row(1, 1, 7)]
    coverage = Coverage.of([Interval(at(0), at(2))])
    for day, total in ((1.2, None), (1.25, 7)):
        answers = point_in_time([((1,), at(day))], rows, aggregate, coverage, availability="scheduled")
        assert answers[0][1] == total


def test_the_engine_reads_its_pin_and_gives_columns() -> None:
    source, rows = clicks(), [event(0.5, 3)]
    engine = ReferenceEngine(sources={"clicks": source}, rows={"clicks": rows})
    request = ComputeRequest(
        view=stats(), interval=Interval(at(0), at(1)), first=True, created=at(5), pins={"clicks": engine.pin(source)}
    )
    rows.append(event(0.6, 100))
    computed = engine.compute(request)
    assert computed.rows == [
        {"user_id": 1, "event_timestamp": at(1), "created_timestamp": at(5), "clicks": 1, "total": 3}
    ]
    assert computed.raw == [event(0.5, 3)]
    assert at(1) in computed.event_range and at(0) not in computed.event_range


def test_the_engine_aggregates_what_a_query_makes_of_all_inputs() -> None:
    users = [{"user_id": 1, "weight": 10}]

    def weighted(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
        weights = {row["user_id"]: row["weight"] for row in rows["users"]}
        return [
            {**row, "event_timestamp": row["ts"], "clicked": row["clicked"] * weights[row["user_id"]]}
            for row in rows["clicks"]
        ]

    query = EventQuery(
        transformation=SqlTransformation(text="", per="row", lookback=None),
        columns=(FieldNode(name="clicked", dtype=Int64),),
    )
    view = stats()
    assert isinstance(view.transformation, Aggregations)
    view = replace(
        view,
        transformation=replace(view.transformation, events=query),
        inputs=(SourceInput(source="clicks"), SourceInput(source="users")),
    )
    engine = ReferenceEngine(
        sources={"clicks": clicks(), "users": clicks(name="users")},
        rows={"clicks": [event(0.5, 3)], "users": users},
        queries={view.name: weighted},
    )
    request = ComputeRequest(view=view, interval=Interval(at(0), at(1)), first=True, created=at(5), pins={})
    assert [(row["clicks"], row["total"]) for row in engine.compute(request).rows] == [(1, 30)]


def test_the_engine_refuses_user_code() -> None:
    code = FunctionTransformation(code=CodeRef(path="m:f", digest="d"), per="step", lookback=None)
    view = plain_view(transformation=code)
    request = ComputeRequest(view=view, interval=Interval(at(0), at(1)), first=True, created=at(1), pins={})
    with pytest.raises(TypeError, match="user code"):
        ReferenceEngine(sources={"clicks": clicks()}, rows={"clicks": []}).compute(request)
