"""A backfill that is killed goes on where it stopped; two at once share the work, and each step is committed once."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import Coverage, Interval, show_instant, utc_now
from featurestore.runtime.faults import FaultPoint
from featurestore.runtime.run import LEASE
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import STATS, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

DAYS = 8
RIDES = [ride(1 + number % 3, day(number, hour=5), 1.0 + number, 5) for number in range(DAYS)]
COMMAND = ("backfill", "ride_stats", show_instant(day(0)), show_instant(day(DAYS)), "--steps-per-run", "2", "--json")

Opener = Callable[..., FeatureStore]


@pytest.fixture(scope="module")
def template(project_maker: Callable[..., Project], store_opener: Opener) -> Project:
    """An applied project that has computed nothing, stopped, so that it can be copied."""
    project = project_maker(definitions=STATS, rides=RIDES)
    store = store_opener(project, Clock(utc_now()))
    store.apply()
    store.close()
    project.redis.stop()
    return project


@pytest.fixture(scope="module")
def undisturbed(template: Project, tmp_path_factory: pytest.TempPathFactory, store_opener: Opener) -> Mapping[str, Any]:
    project = template.copy(tmp_path_factory.mktemp("undisturbed") / "repo")
    project.redis.start()
    store = store_opener(project, Clock(utc_now()))
    assert store.backfill("ride_stats", day(0), day(DAYS), steps_per_run=2).exit_code is ExitCode.DONE
    found = {"rows": table_rows(store, "ride_stats"), "online": project.online_values()}
    project.redis.stop()
    return found


def answers(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Give what stands for each driver at the end of each day."""
    features = ("distance_2d", "rides_1d", "rating_2d")
    newest: dict[tuple[int, int], tuple[Any, ...]] = {}
    for number in range(1, DAYS + 1):
        for row in sorted(rows, key=lambda row: (row["event_timestamp"], row["created_timestamp"])):
            if row["event_timestamp"] <= day(number):
                newest[row["driver_id"], number] = tuple(row[name] for name in features)
    return newest


def test_a_killed_backfill_goes_on_where_it_stopped(
    template: Project, undisturbed: Mapping[str, Any], tmp_path: Path, store_opener: Opener
) -> None:
    project = template.copy(tmp_path / "repo")
    try:
        done = project.run(*COMMAND, "--parallel", "2", fault=f"{FaultPoint.COMMITTED}:2")
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        assert "ride_stats: 2 of 8 steps" in done.stderr
        store = store_opener(project, Clock(utc_now() + 2 * LEASE + timedelta(seconds=1)))
        result = store.backfill("ride_stats", day(0), day(DAYS), steps_per_run=2, parallel=2)
        assert result.exit_code is ExitCode.DONE, result.to_line()
        # Two runs had committed; of the second only Delta knew.
        assert result.pace["steps"] == DAYS - 4
        assert table_rows(store, "ride_stats") == undisturbed["rows"]
        assert project.online_values() == undisturbed["online"]
        assert not list((project.root / ".featurestore/offline/_staging").rglob("*.parquet"))
    finally:
        project.redis.stop()


def test_two_backfills_at_once_commit_each_step_once(
    template: Project, undisturbed: Mapping[str, Any], tmp_path: Path, store_opener: Opener
) -> None:
    project = template.copy(tmp_path / "repo")
    try:
        project.redis.start()
        with project.start(*COMMAND) as one, project.start(*COMMAND) as other:
            told = [(process, *process.communicate(timeout=240)) for process in (one, other)]
        store = store_opener(project, Clock(utc_now()))
        results = [json.loads(out)["views"]["ride_stats"] for _, out, _ in told]
        assert {process.returncode for process, *_ in told} <= {
            ExitCode.DONE,
            ExitCode.RETRY_LATER,
            ExitCode.NOTHING_TO_DO,
        }
        done = Counter(
            interval["start"] for result in results for interval in result["intervals"] if interval["state"] == "done"
        )
        assert set(done.values()) == {1}
        for result in results:
            assert (
                result["error"] is None
                or "another" in result["error"]["message"]
                or ("is being computed" in result["error"]["message"])
            )
        assert store.backfill("ride_stats", day(0), day(DAYS)).exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO)
        assert store.runtime.ledger.coverage("ride_stats", 1) == Coverage.of([Interval(day(0), day(DAYS))])
        # One that ran ahead of the other stated all keys where it began: more rows, the same answers.
        assert answers(table_rows(store, "ride_stats")) == answers(undisturbed["rows"])
    finally:
        project.redis.stop()
