"""Steps of an aggregate view in any order: once the holes are filled, reads answer as after one whole run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from featurestore.engines.reference.events import Events, events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, aggregate_rows
from featurestore.engines.reference.lookup import point_in_time
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import AggregationNode, Aggregations, FieldNode, ViewNode
from featurestore.plan.stages import ComputeStage, build_stages
from featurestore.spec.aggregation import AggregationFunction as F
from featurestore.spec.dtypes import Int64
from tests.support.nodes import START, aggregate_view, clicks, manifest_of

DAY = timedelta(days=1)
DAYS = 5


def at(day: float) -> datetime:
    return START + day * DAY


def stats(**overrides: Any) -> ViewNode:
    """A count and a sum over two days, stepped daily."""
    items = tuple(
        AggregationNode(name=name, function=function, column="clicked", window=2 * DAY, dtype=Int64)
        for name, function in (("clicks", F.COUNT), ("total", F.SUM))
    )
    features = tuple(FieldNode(name=item.name, dtype=Int64) for item in items)
    return aggregate_view(transformation=Aggregations(items=items), features=features, **overrides)


def clicked(view: ViewNode, *days: tuple[int, float], value: int | None = 3) -> Events:
    return events_by_key(view, clicks(), [{"user_id": user, "ts": at(day), "clicked": value} for user, day in days])


def run_in_order(view: ViewNode, events: Events, days: Iterable[int]) -> list[FeatureRow]:
    """Plan and compute one step after the other, each from the coverage at that moment."""
    rows: list[FeatureRow] = []
    done: list[Interval] = []
    for day in days:
        bounds = Interval(at(day), at(day + 1))
        stages = build_stages(manifest_of(view), [view.name], bounds, {view.name: Coverage.of(done)})
        for stage in stages:
            if isinstance(stage, ComputeStage):
                rows += aggregate_rows(view, events, stage.interval, first=stage.first)
                done.append(stage.interval)
    return sorted(rows, key=lambda row: (row.event_timestamp, row.key))


def test_a_step_skipped_and_computed_later_leaves_no_value_that_holds_too_long() -> None:
    view = stats()
    rows = run_in_order(view, clicked(view, (1, 0.5)), (0, 2, 1, 3, 4))
    assert [((row.event_timestamp - START) / DAY, row.values) for row in rows] == [(1, (1, 3)), (3, (0, None))]


def test_a_stretch_in_front_of_another_ends_where_the_other_says() -> None:
    view = stats()
    rows = run_in_order(view, clicked(view, (1, 0.5), (2, 1.5)), (2, 3, 4, 0, 1))
    assert [(row.key[0], (row.event_timestamp - START) / DAY, row.values) for row in rows] == [
        (1, 1, (1, 3)),
        (2, 2, (1, 3)),
        (1, 3, (0, None)),
        (2, 3, (1, 3)),
        (2, 4, (0, None)),
    ]


def test_a_key_of_nothing_but_nulls_answers_no_longer_for_a_hole_that_was_filled() -> None:
    """Its row says what an emptied key's says and holds no longer: the first step of a stretch must not renew it."""
    view = stats()
    rows = run_in_order(view, clicked(view, (1, 0.5), value=None), (1, 0, 2, 3, 4))
    assert [((row.event_timestamp - START) / DAY, row.values) for row in rows] == [(1, (0, None))]
    coverage = Coverage.of([Interval(at(0), at(DAYS))])
    spine = [((1,), at(day)) for day in (1, 3, 3.001, 4, 5)]
    assert point_in_time(spine, rows, view, coverage) == [(0, None), (0, None), *[(None, None)] * 3]


@pytest.mark.parametrize("ttl", [None, DAY])
def test_every_order_of_steps_answers_as_the_whole(ttl: timedelta | None) -> None:
    view = stats(ttl=ttl)
    histories = [(user, day) for user in range(DAYS + 1) for day in (user - 0.5, user + 2.5)]
    events = {
        **clicked(view, *histories, (9, -0.5), (9, 0.5), (9, 1.5), (9, 3)),
        **clicked(view, *((user + 10, day) for user, day in histories), value=None),
    }
    spine = [((user,), at(half / 2)) for user in range(20) for half in range(2 * (DAYS + 4))]
    coverage = Coverage.of([Interval(at(0), at(DAYS))])
    whole = aggregate_rows(view, events, Interval(at(0), at(DAYS)), first=True)
    expected = point_in_time(spine, whole, view, coverage)
    for order in permutations(range(DAYS)):
        assert point_in_time(spine, run_in_order(view, events, order), view, coverage) == expected, order
