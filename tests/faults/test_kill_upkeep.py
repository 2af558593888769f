"""SIGKILL in the middle of a merging, and after each commit of an upkeep; the next one completes it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import utc_now
from featurestore.plan.tile_upkeep import counting_rows
from featurestore.runtime.faults import FaultPoint
from featurestore.runtime.upkeep import upkeep_views
from featurestore.settings import UpkeepSettings
from featurestore.stores.delta_files import DeltaFiles
from featurestore.stores.tile_log import TileLog
from tests.support.aged import let_time_pass
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import STATS, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

VIEW = "ride_stats"
IN_THE_MIDDLE = "in the middle"
FAULTS = (IN_THE_MIDDLE, f"{FaultPoint.REMOVED}:2", str(FaultPoint.COMPACTED))
"""Rows are removed of the view's table first, whose files are merged then, and after that of its tiles."""
AT_ONCE = UpkeepSettings(min_small_files=2, retention_days=0, history_days=7)
LONG_AGO = timedelta(days=30)


@pytest.fixture(scope="module")
def template(project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]) -> Project:
    """A project with rows that were replaced and tiles that were built anew, a month ago; stopped, to be copied."""
    project = project_maker(definitions=STATS)
    store = store_opener(project, Clock(utc_now() - LONG_AGO))
    store.apply()
    assert store.backfill(VIEW, day(0), day(3), steps_per_run=1).exit_code is ExitCode.DONE
    project.land([ride(2, day(2, hour=5), 2.5, 1)])
    assert store.repair(VIEW).exit_code is ExitCode.DONE
    assert store.backfill(VIEW, day(3), day(4)).exit_code is ExitCode.DONE
    store.close()
    let_time_pass(project.root / ".featurestore" / "offline" / "views", LONG_AGO)
    project.write_config(upkeep="{min_small_files: 2, history_days: 7}")
    project.redis.stop()
    return project


def files_of(project: Project) -> list[Path]:
    return sorted((project.root / ".featurestore" / "offline" / "views" / VIEW).glob("*/*.parquet"))


def kill(project: Project, fault: str) -> int:
    """Run an upkeep until the fault, or until the first file of its compaction is there."""
    before = files_of(project)
    if fault != IN_THE_MIDDLE:
        return project.run("optimize", fault=fault).returncode
    with project.start("optimize") as process:
        while process.poll() is None and files_of(project) == before:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


@pytest.fixture(scope="module")
def killed(template: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Project]]:
    """For each fault a copy whose upkeep was killed there, two at the same time."""
    copies = {fault: template.copy(tmp_path_factory.mktemp("killed") / "repo") for fault in FAULTS}
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(kill, copies.values(), copies))
    assert codes == [-signal.SIGKILL] * len(FAULTS)
    yield copies
    for copy in copies.values():
        copy.redis.stop()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upkeep_killed_anywhere_is_completed_by_the_next(
    fault: str, template: Project, killed: Mapping[str, Project], store_opener: Callable[..., FeatureStore]
) -> None:
    project = killed[fault]
    store = store_opener(project, Clock(utc_now()))
    before = table_rows(store_opener(template, Clock(utc_now())), VIEW)
    rows = [row for row in before if row not in replaced(before)]
    assert len(before) > len(rows) and table_rows(store, VIEW) in ([before, rows] if fault == IN_THE_MIDDLE else [rows])
    online = project.online_values()
    assert store.publish([VIEW]).exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO)
    store.runtime.settings = replace(store.runtime.settings, upkeep=AT_ONCE)
    upkeep(store)
    (view,) = store.publish([VIEW]).views
    assert view.published is not None and view.published.sent == 0
    upkeep(store)
    assert len(files_of(project)) == len(DeltaFiles(str(files_of(project)[0].parent)).sizes()) == 1
    assert table_rows(store, VIEW) == rows
    (view,) = store.publish([VIEW]).views
    assert view.published is not None and view.published.sent == 0
    assert rows_of(project.online_values()) == rows_of(online)
    (path,) = (project.root / ".featurestore" / "offline" / "_tiles").glob("*/*")
    log = TileLog.read(str(path))
    stored = {build for file in log.files() for build in file.builds}
    counting = {row.build for row in counting_rows(log.commits)}
    assert (log.cleared > 0, log.obsolete().count) == (True, 0)
    assert stored <= counting < {commit.build for commit in log.commits}


def replaced(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the rows that another about the same key and event time came after; no row here is a deletion."""
    return [
        row
        for row in rows
        if any(
            (row["driver_id"], row["event_timestamp"]) == (other["driver_id"], other["event_timestamp"])
            and row["created_timestamp"] < other["created_timestamp"]
            for other in rows
        )
    ]


def upkeep(store: FeatureStore) -> None:
    result = upkeep_views(store.runtime)
    assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()


def rows_of(values: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Leave out records that tell of Delta versions: what is left are the rows."""
    return {key: value for key, value in values.items() if not key.startswith(b"featurestore:")}
