"""SIGKILL at every boundary of a run and of a publication; a second run gives the state of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import Coverage, Interval, show_instant, utc_now
from featurestore.runtime.faults import FaultPoint
from featurestore.runtime.run import LEASE
from tests.support.killed import killed_copies
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import CORE, day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(900)]

VIEWS = ("ride_stats", "tips")
STEP = ("materialize", show_instant(day(1)), show_instant(day(2)))
# A second arrival at a point is the prediction view's.
FAULTS = (
    FaultPoint.CLAIMED,
    FaultPoint.TILED,
    FaultPoint.COMPUTED,
    f"{FaultPoint.GATED}:2",
    FaultPoint.COMMITTED,
    FaultPoint.RECORDED,
    FaultPoint.SENDING,
    f"{FaultPoint.SENT}:2",
    FaultPoint.POINTED,
    FaultPoint.MARKED,
    f"{FaultPoint.RECONCILED}:2",
)


def state(store: FeatureStore, project: Project) -> Mapping[str, Any]:
    rows = {view: table_rows(store, view) for view in VIEWS}
    publications = {view: store.runtime.ledger.publications(view, 1) for view in VIEWS}
    told = {view: {(past.delta_version, past.covered_until) for past in publications[view]} for view in VIEWS}
    return {"rows": rows, "online": project.online_values(), "publications": told}


@pytest.fixture(scope="module")
def template(project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]) -> Project:
    """A project whose first step is done, stopped, so that it can be copied."""
    project = project_maker(definitions=CORE)
    store = store_opener(project, Clock(utc_now()))
    store.apply()
    assert store.materialize(day(0), day(1)).exit_code is ExitCode.DONE
    store.close()
    project.redis.stop()
    return project


@pytest.fixture(scope="module")
def undisturbed(
    template: Project, tmp_path_factory: pytest.TempPathFactory, store_opener: Callable[..., FeatureStore]
) -> Iterator[Mapping[str, Any]]:
    project = template.copy(tmp_path_factory.mktemp("undisturbed") / "repo")
    project.redis.start()
    store = store_opener(project, Clock(utc_now()))
    assert store.materialize(day(1), day(2)).exit_code is ExitCode.DONE
    yield state(store, project)
    project.redis.stop()


@pytest.fixture(scope="module")
def killed(
    template: Project, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession
) -> Iterator[Callable[[str], Project]]:
    """For each fault a copy of the project whose second step was killed there."""
    with killed_copies(template, tmp_path_factory, STEP, FAULTS, spark) as wait:
        yield wait


def recover(project: Project, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """Ask for the step again, after the dead process's lease."""
    store = store_opener(project, Clock(utc_now() + 2 * LEASE + timedelta(seconds=1)))
    result = store.materialize(day(1), day(2))
    assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()
    return store


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_killed_anywhere_is_completed_by_the_next(
    fault: str,
    killed: Callable[[str], Project],
    undisturbed: Mapping[str, Any],
    store_opener: Callable[..., FeatureStore],
) -> None:
    project = killed(fault)
    store = recover(project, store_opener)
    assert state(store, project) == undisturbed
    for view in VIEWS:
        assert store.runtime.ledger.coverage(view, 1) == Coverage.of([Interval(day(0), day(2))])
    assert store.materialize(day(1), day(2)).exit_code is ExitCode.NOTHING_TO_DO


def test_a_job_killed_whole_in_the_middle_of_a_step(
    template: Project, tmp_path: Path, undisturbed: Mapping[str, Any], store_opener: Callable[..., FeatureStore]
) -> None:
    project = template.copy(tmp_path / "repo")
    with project.start(*STEP) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[2/"):
                break
        os.killpg(process.pid, signal.SIGKILL)
    try:
        assert process.returncode == -signal.SIGKILL
        assert state(recover(project, store_opener), project) == undisturbed
    finally:
        project.redis.stop()
