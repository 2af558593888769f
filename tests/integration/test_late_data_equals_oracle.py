"""Whatever comes late, is altered or withdrawn between runs, the table answers as if it had always been so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from pyspark.sql import SparkSession

from featurestore import FeatureStore
from featurestore.engines.reference.events import Key, events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, aggregate_rows, plain_rows
from featurestore.errors import ExitCode
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, ViewNode
from tests.support.agreement import answers_of, disagreements, feature_rows_of
from tests.support.batched import ONE_BATCH
from tests.support.late_rides import KINDS, VIEWS, LateRides, SourceKind
from tests.support.late_scenarios import DAYS, DRIVERS, Scenario, scenarios
from tests.support.project import Clock, Project
from tests.support.rides import day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def oracle(
    store: FeatureStore, view: ViewNode, rides: Sequence[Mapping[str, Any]], stretch: Interval
) -> list[FeatureRow]:
    """Compute a stretch at once, step by step stated at its end."""
    node = store.manifest.sources["rides"]
    assert isinstance(node, DeltaSourceNode | FileSourceNode) and view.schedule is not None
    events = events_by_key(view, node, rides)
    if view.is_aggregate:
        return aggregate_rows(view, events, stretch, first=True)
    steps = view.schedule.steps(stretch)
    return [row for step in steps for row in plain_rows(view, events, step, created=step.end)]


def ask(instants: Sequence[datetime]) -> list[tuple[Key, datetime]]:
    return [((driver,), instant) for driver in range(DRIVERS) for instant in instants]


def materialize(store: FeatureStore, first: int, last: int) -> None:
    result = store.materialize(day(first), day(last))
    assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()


@pytest.mark.parametrize("kind", KINDS)
@ONE_BATCH
@given(scenario=scenarios())
def test_the_table_equals_the_oracle_of_the_last_state(
    project_maker: Callable[..., Project],
    store_opener: Callable[..., FeatureStore],
    kind: SourceKind,
    scenario: Scenario,
) -> None:
    views = ["ride_stats", "ride_log"] if kind == "no feed" else ["ride_stats"]
    more = VIEWS if len(views) > 1 else ""
    source = LateRides.of(project_maker, kind, scenario.rides, more=more, **scenario.options)
    clock = Clock(day(DAYS, hour=1))
    store = store_opener(source.project, clock)
    store.apply()
    for number, (first, last) in enumerate(scenario.runs):
        if number:
            scenario.changes[number - 1].apply(source)
        if scenario.restarts[number]:
            store.close()
            store = store_opener(source.project, clock)
        clock.now += HOUR
        materialize(store, first, last)
    instants = [day(number, hour=hour) + nudge for number in range(DAYS) for hour in (0, 7) for nudge in (-TICK, TICK)]
    for name in views:
        view = store.manifest.views[name]
        coverage: Coverage = store.runtime.ledger.coverage(name, view.version)
        (stretch,) = coverage
        found = feature_rows_of(view, store.runtime.offline.rows(view).toArrow().to_pylist())
        spine = ask(instants)
        expected = answers_of(view, oracle(store, view, source.rows, stretch), spine, coverage)
        assert disagreements(view, spine, expected, answers_of(view, found, spine, coverage))[:5] == []
        assert len(set(expected)) > 2, "there is something to disagree on"


@ONE_BATCH
@given(scenario=scenarios())
def test_a_training_set_by_created_time_has_what_was_known_before_each_repair(
    project_maker: Callable[..., Project],
    store_opener: Callable[..., FeatureStore],
    spark: SparkSession,
    scenario: Scenario,
) -> None:
    """The source is a table of the catalogue; each repair has its own time, from which on its values are known.

    One of the views is not served online.
    """
    source = LateRides.of(project_maker, "table", scenario.rides, spark=spark, **scenario.options)
    clock = Clock(day(2, hour=1))
    store = store_opener(source.project, clock)
    store.apply()
    materialize(store, 0, 2)
    known = [(day(0), list(source.rows))]
    for number in (2, 3):
        clock.now = day(number, hour=1)
        materialize(store, 0, number)
        scenario.changes[number - 2].apply(source)
        source.add([ride(0, day(number - 1, hour=5), 4.25, 1)])
        clock.now = day(number, hour=2)
        materialize(store, 0, number)
        known.append((clock.now, list(source.rows)))
    repaired = [at for at, _ in known[1:]]
    instants = sorted(
        {day(1), day(2), day(3), *(at + nudge for at in repaired for nudge in (-TICK, timedelta(0), HOUR))}
    )
    spine = ask(instants)
    for view in store.manifest.views.values():
        coverage: Coverage = store.runtime.ledger.coverage(view.name, view.version)
        found = training_set(store, view, spine)
        expected: list[tuple[Any, ...]] = []
        states = {at: oracle(store, view, rides, Interval(day(0), day(3))) for at, rides in known}
        for asked in spine:
            state = max(at for at in states if at <= asked[1])
            expected += answers_of(view, states[state], [asked], coverage, created_before_event=True)
        assert disagreements(view, spine, expected, found)[:5] == [], view.name
        if view.is_aggregate:
            said = dict(zip(spine, expected, strict=True))
            assert all(said[(0,), at - TICK] != said[(0,), at] for at in repaired), "each repair is seen"


def training_set(store: FeatureStore, view: ViewNode, spine: Sequence[tuple[Key, datetime]]) -> list[tuple[Any, ...]]:
    asked = {"driver_id": [key[0] for key, _ in spine], "event_timestamp": [at for _, at in spine]}
    names = [f"{view.name}:{feature.name}" for feature in view.features]
    joined = store.get_historical_features(asked, names, created_before_event=True).to_arrow()
    return list(zip(*(joined[feature.name].to_pylist() for feature in view.features), strict=True))
