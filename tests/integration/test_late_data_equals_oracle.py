"""Whatever comes late, is altered or withdrawn between runs, the table answers as if it had always been so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.engines.reference.events import events_by_key
from featurestore.engines.reference.feature_rows import aggregate_rows, plain_rows
from featurestore.errors import ExitCode
from featurestore.intervals import Coverage
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from tests.support.agreement import answers_of, disagreements, feature_rows_of
from tests.support.late_rides import KINDS, VIEWS, LateRides, SourceKind
from tests.support.project import Clock, Project
from tests.support.rides import day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

DRIVERS, DAYS = 25, 4
TICK = timedelta(microseconds=1)


def random_rides(random: Random, count: int) -> list[dict[str, Any]]:
    """Make rides at few instants, so that some coincide; those of the last days lie after the first runs."""
    return [
        ride(
            random.randrange(DRIVERS),
            day(random.randrange(DAYS), hour=random.choice([0, 0, 7, 23])),
            random.choice([0.5, 1.25, 2.0]),
            random.choice([None, 1, 5]),
        )
        for _ in range(count)
    ]


def disturb(source: LateRides, random: Random) -> None:
    """Let rows come late, or be altered, or go."""
    if random.random() < 0.7:
        source.add(random_rides(random, random.randint(1, 8)))
    if random.random() < 0.7:
        gone = random.sample(source.rows, 3)
        source.change(gone, [{**row, "distance": 9.0} for row in gone[:2]])


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for seed, kind in enumerate(KINDS)])
def test_the_table_equals_the_oracle_of_the_last_state(
    project_maker: Callable[..., Project],
    store_opener: Callable[..., FeatureStore],
    kind: SourceKind,
    seed: int,
) -> None:
    random = Random(seed)
    views = ["ride_stats", "ride_log"] if kind == "no feed" else ["ride_stats"]
    source = LateRides.of(project_maker, kind, random_rides(random, 60), more=VIEWS if len(views) > 1 else "")
    clock = Clock(day(DAYS, hour=1))
    store = store_opener(source.project, clock)
    store.apply()
    runs = [(1, 2), (2, 3), (0, 3), (0, 3)]
    for number, (first, last) in enumerate(runs, 1):
        clock.now += timedelta(hours=1)
        result = store.materialize(day(first), day(last))
        assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()
        if number < len(runs):
            disturb(source, random)
            disturb(source, random)
    for name in views:
        view = store.manifest.views[name]
        node = store.manifest.sources["rides"]
        assert isinstance(node, DeltaSourceNode | FileSourceNode)
        coverage: Coverage = store.runtime.ledger.coverage(name, view.version)
        (stretch,) = coverage
        events = events_by_key(view, node, source.rows)
        expected = (
            aggregate_rows(view, events, stretch, first=True)
            if view.is_aggregate
            else plain_rows(view, events, stretch, created=stretch.end)
        )
        found = feature_rows_of(view, store.runtime.offline.rows(view).toArrow().to_pylist())
        instants = [
            day(number, hour=hour) + nudge for number in range(DAYS) for hour in (0, 7) for nudge in (-TICK, TICK)
        ]
        spine = [((driver,), instant) for driver in range(DRIVERS) for instant in instants]
        answers = [answers_of(view, rows, spine, coverage) for rows in (expected, found)]
        assert disagreements(view, spine, answers[0], answers[1])[:5] == []
        assert sum(answer != (None,) * len(view.features) for answer in answers[0]) > len(spine) / 4
