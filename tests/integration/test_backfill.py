"""A backfill in runs of several steps, side by side: the table, the gate and the ledger are as if done step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from deltalake import DeltaTable

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import Coverage, Interval
from featurestore.runtime.results import JobResult
from tests.support.project import Clock, Project, error_of, table_rows
from tests.support.rides import STATS, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

DAYS = 7
BAD = 3
# Driver 1 rides daily, driver 2 now and then, driver 3 once; each value says its day.
RIDES = [
    *(ride(1, day(number, hour=3), 1.0 + number, 5) for number in range(DAYS)),
    *(ride(2, day(number, hour=30), 2.5, 3) for number in (0, 4)),
    ride(3, day(2, hour=23), 7.5, None),
]

JOBS_OF_A_STEP = 21
"""Of a roll 7 (``tests/engines/test_roll_costs.py``), of input and output rules 10, of the commit 4: the table's state,
which says whether the run committed before, and the append; nothing stands in the step, so nothing is compared."""

Opener = Callable[..., FeatureStore]


@pytest.fixture(scope="module")
def make(project_maker: Callable[..., Project], store_opener: Opener) -> Callable[..., tuple[Project, FeatureStore]]:
    def make(*more: Mapping[str, Any]) -> tuple[Project, FeatureStore]:
        project = project_maker(definitions=STATS, rides=[*RIDES, *more])
        store = store_opener(project, Clock(day(DAYS, hour=1)))
        store.apply()
        return project, store

    return make


@pytest.fixture(scope="module")
def by_step(make: Callable[..., tuple[Project, FeatureStore]]) -> tuple[FeatureStore, JobResult]:
    _, store = make()
    return store, store.backfill("ride_stats", day(0), day(DAYS), steps_per_run=1)


def cost(result: JobResult, name: str) -> int:
    return sum(run.cost[name] for run in result.views[0].intervals)


def _note(said: list[tuple[int, int, str]], number: int, total: int, text: str) -> None:
    said.append((number, total, text))


def online(store: FeatureStore) -> Mapping[str, Any]:
    features = ["ride_stats:distance_2d", "ride_stats:rides_1d", "ride_stats:rating_2d"]
    return store.get_online_features(features, {"driver_id": [1, 2, 3]}).to_dict()


def test_runs_of_many_steps_give_the_rows_of_single_steps_for_less(
    by_step: tuple[FeatureStore, JobResult], make: Callable[..., tuple[Project, FeatureStore]]
) -> None:
    store, single = by_step
    assert single.exit_code is ExitCode.DONE
    assert [run.steps for run in single.views[0].intervals] == [1] * DAYS
    _, other = make()
    said: list[tuple[int, int, str]] = []
    progress = partial(_note, said)
    result = other.backfill("ride_stats", day(0), day(DAYS), steps_per_run=3, parallel=2, progress=progress)
    assert result.exit_code is ExitCode.DONE, result.to_line()
    assert [run.steps for run in result.views[0].intervals] == [3, 3, 1]
    assert table_rows(other, "ride_stats") == table_rows(store, "ride_stats")
    assert online(other) == online(store)
    assert cost(result, "spark_jobs") < 0.6 * cost(single, "spark_jobs")
    assert 0 < cost(result, "input_bytes") < 0.6 * cost(single, "input_bytes")
    assert (result.pace["steps"], result.pace["settled"]) == (DAYS, DAYS)
    told = [text for _, _, text in said if " of 7 steps" in text]
    assert [text.partition(" steps, ")[0] for text in told] == [f"ride_stats: {n} of 7" for n in (3, 6)]
    assert all(text.endswith(" left") for text in told)
    assert said[-1] == (DAYS + 1, DAYS + 1, "publish ride_stats")


def test_a_daily_step_takes_no_more_jobs_as_days_go_by(by_step: tuple[FeatureStore, JobResult]) -> None:
    _, single = by_step
    jobs = [run.cost["spark_jobs"] for run in single.views[0].intervals]
    assert max(jobs[2:]) <= JOBS_OF_A_STEP, jobs


def test_a_second_backfill_does_nothing_and_knows_from_history_what_steps_take(
    by_step: tuple[FeatureStore, JobResult],
) -> None:
    store, _ = by_step
    again = store.backfill("ride_stats", day(0), day(DAYS))
    assert (again.exit_code, again.pace["steps"]) == (ExitCode.NOTHING_TO_DO, 0)
    repaired = store.materialize(day(0), day(DAYS), ["ride_stats"], repair=True)
    assert repaired.pace["estimated_seconds"] is not None
    assert (repaired.views[0].rows, repaired.views[0].steps) == (0, DAYS)
    assert len(repaired.views[0].intervals) < DAYS


def test_a_bad_day_is_refused_alone_and_the_days_that_do_not_read_it_are_done(
    make: Callable[..., tuple[Project, FeatureStore]], by_step: tuple[FeatureStore, JobResult]
) -> None:
    project, store = make(ride(2, day(BAD, hour=12), -4.0, 5))
    result = store.backfill("ride_stats", day(0), day(DAYS), steps_per_run=4, parallel=2)
    assert result.exit_code is ExitCode.REFUSED, result.to_line()
    assert str(Interval(day(BAD), day(BAD + 1))) in error_of(result, "ride_stats")["message"]
    ledger = store.runtime.ledger
    # Windows of two days, at its end and at its start, hold the bad ride for the two days after it.
    assert ledger.coverage("ride_stats", 1) == Coverage.of(
        [Interval(day(0), day(BAD)), Interval(day(BAD + 3), day(DAYS))]
    )
    assert [run.interval.start for run in ledger.runs("ride_stats", 1) if run.state != "done"] == [day(BAD)]
    rows = [row for row in table_rows(store, "ride_stats") if row["event_timestamp"] > day(BAD)]
    # What comes after the hole states every driver that it knows.
    assert [(row["driver_id"], row["event_timestamp"]) for row in rows] == [(1, day(DAYS)), (2, day(DAYS))]

    DeltaTable(project.root / "data/rides").delete("distance < 0")
    mended = store.backfill("ride_stats", day(0), day(DAYS))
    assert (mended.exit_code, mended.views[0].steps) == (ExitCode.DONE, 3)
    assert online(store) == online(by_step[0])


def test_a_step_that_another_holds_is_busy_and_the_others_are_done(
    make: Callable[..., tuple[Project, FeatureStore]],
) -> None:
    _, store = make()
    ledger, now, held = store.runtime.ledger, day(DAYS, hour=1), Interval(day(3), day(4))
    lease = timedelta(hours=1)
    ledger.claim("ride_stats", 1, held, inputs={}, created=day(4), owner="other:1", now=now, lease=lease)
    result = store.backfill("ride_stats", day(0), day(DAYS), steps_per_run=8)
    assert result.exit_code is ExitCode.RETRY_LATER
    assert "is being computed" in error_of(result, "ride_stats")["message"]
    assert "other:1" in error_of(result, "ride_stats")["message"]
    assert ledger.coverage("ride_stats", 1) == Coverage.of([Interval(day(0), day(3)), Interval(day(4), day(DAYS))])
