"""`upkeep: history_days`: replaced rows go, and nothing is answered otherwise, published or computed again for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import utc_now
from featurestore.runtime.results import JobResult, UpkeepResult
from featurestore.runtime.upkeep import upkeep_views
from featurestore.settings import UpkeepSettings
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import STATS, day, ride
from tests.support.work import count_jobs

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

VIEW, CHILD = "ride_stats", "busy_days"
DAYS = 4
HISTORY = timedelta(days=30)
DEFINITIONS = (
    STATS
    + """
busy_days = BatchFeatureView(
    name="busy_days",
    entities=[driver],
    source=ride_stats,
    aggregations=[Aggregation(column="rides_1d", function="max", window=2 * DAY, name="most_2d")],
    late_data=30 * DAY,
    **DAILY,
)
"""
)
REFS = [f"{VIEW}:distance_2d", f"{VIEW}:rides_1d", f"{CHILD}:most_2d"]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    return project_maker(definitions=DEFINITIONS)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(utc_now())


@pytest.fixture(scope="module")
def store(project: Project, clock: Clock, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """Four days done, then a ride of the second day comes late; history is kept for a month."""
    store = store_opener(project, clock)
    settings = UpkeepSettings(min_small_files=100, history_days=HISTORY.days)
    store.runtime.settings = replace(store.runtime.settings, upkeep=settings)
    store.apply()
    assert store.materialize(day(0), day(DAYS)).exit_code is ExitCode.DONE
    project.land([ride(2, day(1, hour=5), 2.5, 1), ride(2, day(1, hour=6), 2.5, 1)])
    return store


def upkeep(store: FeatureStore, *, dry_run: bool = False) -> UpkeepResult:
    result: JobResult = upkeep_views(store.runtime, [VIEW], dry_run=dry_run)
    (view,) = result.views
    assert view.error is None, view.error
    return view.upkeep[0]


def replaced(rows: Rows, until: datetime) -> Rows:
    def came_after(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        same = all(row[name] == other[name] for name in ("driver_id", "event_timestamp"))
        return same and row["created_timestamp"] < other["created_timestamp"] <= until

    return [row for row in rows if not row["is_deleted"] and any(came_after(row, other) for other in rows)]


def training_set(store: FeatureStore, instants: list[datetime], **options: Any) -> Rows:
    """Look up every driver at every instant."""
    spine = [{"driver_id": driver, "event_timestamp": at} for driver in (1, 2, 3, 4) for at in instants]
    job = store.get_historical_features(pa.Table.from_pylist(spine), REFS, allow_missing=True, **options)
    rows: Rows = job.to_arrow().to_pylist()
    return rows


def answers(store: FeatureStore) -> dict[str, Any]:
    return dict(store.get_online_features(REFS, {"driver_id": [1, 2, 3, 4]}).to_dict())


def test_replaced_rows_go_once_all_have_seen_what_replaced_them(
    project: Project, store: FeatureStore, clock: Clock
) -> None:
    assert upkeep(store, dry_run=True).step.removal is not None
    started = clock.now
    assert "no row was replaced more than 30d ago" in why(store)
    # The view is repaired by itself first: its child has not seen it.
    assert store.repair(VIEW).exit_code is ExitCode.DONE
    clock.now = started + HISTORY / 2
    assert "no row was replaced more than 30d ago" in why(store)
    clock.now = started + HISTORY + timedelta(days=1)
    before = table_rows(store, VIEW)
    expected = replaced(before, clock.now - HISTORY)
    assert len(expected) >= 2
    assert f"busy_days has not taken in all of them: run or `featurestore repair {CHILD}` first" in why(store)
    assert upkeep(store).rows_removed == 0 and table_rows(store, VIEW) == before
    assert store.materialize_incremental(day(DAYS)).exit_code is ExitCode.DONE

    instants = [day(0, hour=12 * number) for number in range(2 * DAYS + 2)]
    late = [clock.now - HISTORY + timedelta(hours=1), clock.now]
    trained, known = training_set(store, instants), training_set(store, late, created_before_event=True)
    scheduled, online = training_set(store, instants, availability="scheduled"), answers(store)
    coverage = store.runtime.ledger.coverage(VIEW, 1)

    assert why(store).startswith("at most ") and not upkeep(store, dry_run=True).rows_removed
    done = upkeep(store)
    assert done.rows_removed == len(expected)
    assert table_rows(store, VIEW) == [row for row in before if row not in expected]
    assert training_set(store, instants) == trained
    assert training_set(store, instants, availability="scheduled") == scheduled
    assert training_set(store, late, created_before_event=True) == known

    again = upkeep(store)
    assert (again.step.is_due, again.rows_removed) == (False, 0)
    published = [view.published for view in store.publish([VIEW, CHILD]).views]
    assert [result.sent for result in published if result is not None] == [0, 0]
    jobs = count_jobs(store.runtime.spark)
    assert store.materialize_incremental(day(DAYS)).exit_code is ExitCode.NOTHING_TO_DO
    assert jobs() == 0, "the child finds no change, from the log alone"
    node = store.manifest.stored_view(VIEW)
    rebuilt = store.runtime.ledger.rebuild(VIEW, 1, store.runtime.offline.commits(node), now=clock.now)
    assert (rebuilt.added, rebuilt.removed, store.runtime.ledger.coverage(VIEW, 1)) == (0, 0, coverage)
    for key in project.online_values():
        store.runtime.online.delete([key])
    for view in store.publish([VIEW, CHILD]).views:
        assert view.published is not None and view.published.sent > 0, "a Redis that lost everything"
    assert answers(store) == online

    # Steps after it go on as ever: a correction of what stands is found and replaces it.
    project.land([ride(2, day(1, hour=7), 1.0, 1)])
    assert store.repair(VIEW).exit_code is ExitCode.DONE
    assert store.repair(CHILD).exit_code is ExitCode.DONE
    fresh = training_set(store, instants)
    assert fresh != trained
    clock.now += HISTORY + timedelta(days=1)
    assert upkeep(store).rows_removed > 0
    assert training_set(store, instants) == fresh


def why(store: FeatureStore) -> str:
    removal = upkeep(store, dry_run=True).step.removal
    assert removal is not None
    return removal.reason
