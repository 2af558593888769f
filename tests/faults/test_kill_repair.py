"""SIGKILL at the boundaries of a repair; the next run gives what an undisturbed one gives, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import show_instant, utc_now
from featurestore.runtime.faults import FaultPoint
from featurestore.runtime.run import LEASE
from tests.support.killed import killed_copies
from tests.support.late_rides import LateRides
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import RIDES, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(900)]

DAYS = 4
RUN = ("materialize-incremental", show_instant(day(DAYS)))
FAULTS = (
    FaultPoint.COMPARED,
    FaultPoint.COMPUTED,
    FaultPoint.COMMITTED,
    FaultPoint.RECORDED,
    FaultPoint.CHECKED,
)
REFS = ["ride_stats:distance_2d", "ride_stats:rides_1d"]


def state(store: FeatureStore) -> Mapping[str, Any]:
    """Give what readers see, and what is still to be repaired; times of statement are the clock's."""
    rows = [{k: v for k, v in row.items() if k != "created_timestamp"} for row in table_rows(store, "ride_stats")]
    online = store.get_online_features(REFS, [{"driver_id": driver} for driver in (1, 2, 3)])
    late = [change["message"] for change in store.status()["views"]["ride_stats"]["late_changes"]]
    return {"rows": rows, "online": online.to_dict(), "late": late}


@pytest.fixture(scope="module")
def template(project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]) -> Project:
    """A project whose steps are done, with a late row and an older one landed, stopped."""
    source = LateRides.of(project_maker, "feed", RIDES, late_data="2 * DAY", more="")
    store = store_opener(source.project, Clock(utc_now()))
    store.apply()
    assert store.materialize(day(0), day(DAYS)).exit_code is ExitCode.DONE
    store.close()
    source.add([ride(2, day(2, hour=5), 2.5, 1), ride(3, day(0, hour=5), 2.5, 1)])
    source.project.redis.stop()
    return source.project


def completed(project: Project, store_opener: Callable[..., FeatureStore]) -> Mapping[str, Any]:
    """Run after the dead process's lease, and once more for nothing."""
    store = store_opener(project, Clock(utc_now() + 2 * LEASE + timedelta(seconds=1)))
    assert store.materialize_incremental(day(DAYS)).exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO)
    found = state(store)
    assert store.materialize_incremental(day(DAYS)).exit_code is ExitCode.NOTHING_TO_DO
    return found


@pytest.fixture(scope="module")
def undisturbed(
    template: Project, tmp_path_factory: pytest.TempPathFactory, store_opener: Callable[..., FeatureStore]
) -> Iterator[Mapping[str, Any]]:
    project = template.copy(tmp_path_factory.mktemp("undisturbed") / "repo")
    project.redis.start()
    found = completed(project, store_opener)
    assert [(row["driver_id"], row["event_timestamp"]) for row in found["rows"] if row["distance_2d"] == 2.5] == [
        (2, day(3)),
        (2, day(4)),
    ]
    assert len(found["late"]) == 1 and found["online"]["distance_2d"][1] == 2.5
    yield found
    project.redis.stop()


@pytest.fixture(scope="module")
def killed(
    template: Project, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession
) -> Iterator[Callable[[str], Project]]:
    """For each fault a copy of the project whose repair was killed there."""
    with killed_copies(template, tmp_path_factory, RUN, FAULTS, spark) as wait:
        yield wait


@pytest.mark.parametrize("fault", FAULTS)
def test_a_repair_killed_anywhere_is_completed_by_the_next_run(
    fault: str,
    killed: Callable[[str], Project],
    undisturbed: Mapping[str, Any],
    store_opener: Callable[..., FeatureStore],
) -> None:
    assert completed(killed(fault), store_opener) == undisturbed
