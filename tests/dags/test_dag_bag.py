"""The DAG file as Airflow reads it: loads, survives serialization, stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef
from featurestore.ir.schedule import parse_schedule
from featurestore.ir.serialize import manifest_to_json
from tests.support.nodes import START, aggregate_view, manifest_of, plain_view, prediction_view, reads

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parents[2] / "dags"
NEVER_LOADED = ("pyspark", "delta", "pandas", "numpy", "pyarrow", "great_expectations", "redis", "definitions")


def shop() -> Manifest:
    return manifest_of(
        aggregate_view(name="ads"),
        aggregate_view(name="users"),
        aggregate_view(name="recent", schedule=parse_schedule("@hourly")),
        plain_view(name="summary", inputs=(reads("recent", "total"),), online=False),
        plain_view(name="rare", schedule=parse_schedule(timedelta(hours=6))),
        prediction_view(
            name="ctr", inputs=tuple(FeatureRef(view=view, feature="total", alias=view) for view in ("ads", "users"))
        ),
    )


def make_repo(folder: Path, manifest: Manifest | None, settings: str = "") -> Path:
    (folder / "feature_store.yaml").write_text(f"project: shop\n{settings}", encoding="utf-8")
    if manifest is not None:
        (folder / ".featurestore").mkdir()
        (folder / ".featurestore" / "manifest.json").write_text(manifest_to_json(manifest), encoding="utf-8")
    return folder


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESTORE_REPO", str(tmp_path))
    return tmp_path


def load() -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS)


def test_dags_load_and_survive_serialization(repo: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    make_repo(repo, shop())
    bag = load()
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [
        "shop__daily__ads",
        "shop__daily__summary",
        "shop__every_6h__rare",
        "shop__hourly__recent",
        "shop__upkeep",
    ]
    for dag in bag.dags.values():
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        assert sorted(stored.task_ids) == sorted(dag.task_ids)
        assert (
            stored.timetable.serialize()
            == DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable.serialize()
        )


def test_tasks_carry_what_settings_say(repo: Path) -> None:
    make_repo(
        repo, shop(), "orchestration: {retries: 5, retry_delay_seconds: 7, spark_pool: spark, max_active_runs: 3}\n"
    )
    dag = load().dags["shop__daily__ads"]
    assert (dag.max_active_runs, dag.catchup, dag.start_date) == (3, True, START)
    assert load().dags["shop__upkeep"].catchup is False
    task = dag.get_task("users.materialize")
    assert (task.retries, task.retry_delay, task.pool, task.pool_slots) == (5, timedelta(seconds=7), "spark", 1)
    assert task.upstream_task_ids == {"spark-submit.materialize_1_over"}
    carrying = dag.get_task("spark-submit.publish_1")
    assert (carrying.pool_slots, carrying.trigger_rule) == (2, "all_done")
    assert [asset.uri for asset in dag.get_task("ctr.publish").outlets] == ["featurestore://shop/ctr"]


def test_daily_runs_have_the_day_as_data_interval(repo: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction
    from pendulum import instance

    make_repo(repo, shop())
    for dag_id, step in (("shop__daily__ads", timedelta(days=1)), ("shop__every_6h__rare", timedelta(hours=6))):
        stored = DagSerialization.from_dict(DagSerialization.to_dict(load().dags[dag_id]))
        first = stored.timetable.next_dagrun_info(
            last_automated_data_interval=None,
            restriction=TimeRestriction(earliest=instance(START), latest=None, catchup=True),
        )
        assert first is not None and first.data_interval is not None
        assert (first.data_interval.start, first.data_interval.end) == (START, START + step)


def test_before_the_first_apply_there_are_no_dags(repo: Path) -> None:
    make_repo(repo, None)
    bag = load()
    assert (bag.dags, bag.import_errors) == ({}, {})


def test_running_a_task_builds_its_own_dag_only(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_repo(repo, shop())
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "shop__hourly__recent")
    assert sorted(load().dags) == ["shop__hourly__recent"]


def parse_in_fresh_interpreter(repo: Path) -> dict[str, Any]:
    """Import Airflow, then the DAG file; give what that loaded and how long the file took."""
    code = f"""
import json, runpy, sys, time
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
started = time.perf_counter()
names = runpy.run_path({str(DAGS / "featurestore_dags.py")!r})
seconds = time.perf_counter() - started
from airflow.sdk import DAG
print(json.dumps({{
    "seconds": seconds,
    "dags": sum(isinstance(value, DAG) for value in names.values()),
    "loaded": sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}),
}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repo,
        env={**os.environ, "FEATURESTORE_REPO": str(repo), "PYTHONPATH": str(DAGS.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_dag_file_loads_no_heavy_library(repo: Path) -> None:
    found = parse_in_fresh_interpreter(make_repo(repo, shop()))
    assert found["dags"] == 5
    assert set(found["loaded"]).isdisjoint(NEVER_LOADED)


def test_a_thousand_views_parse(repo: Path, record_property: Any) -> None:
    """Reports the time; the budget of 1 s is for a quiet machine and is not asserted."""
    views = [aggregate_view(name=f"view_{number:04}") for number in range(1000)]
    make_repo(repo, manifest_of(*views))
    started = time.perf_counter()
    found = parse_in_fresh_interpreter(repo)
    assert found["dags"] == 1001
    record_property("parse_seconds", round(found["seconds"], 2))
    record_property("with_airflow_seconds", round(time.perf_counter() - started, 2))
