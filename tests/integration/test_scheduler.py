"""Airflow's own scheduler runs the generated DAG: two data intervals, one gate refusal, mended and run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from featurestore import FeatureStore
from featurestore.cli.services import airflow_server, create_pool
from featurestore.embedded.airflow_api import AirflowApi, DagRun
from featurestore.embedded.airflow_server import AirflowServer
from featurestore.errors import StateError
from tests.support.project import Project
from tests.support.rides import CORE, DAY, ride

pytestmark = [pytest.mark.airflow, pytest.mark.spark, pytest.mark.timeout(900)]

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = MIDNIGHT - 2 * DAY
RIDES = (
    ride(1, FIRST + timedelta(hours=6), 10.0, 5),
    ride(2, FIRST + timedelta(hours=9), 5.0, None),
    ride(1, FIRST + timedelta(hours=30), 30.0, 3),
    ride(2, FIRST + timedelta(hours=31), -1.0, 3),
)
"""The second day has a negative distance."""

DAG = "rides__daily"
WAIT_SECONDS = 600


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    start = f"datetime({FIRST.year}, {FIRST.month}, {FIRST.day}, tzinfo=timezone.utc)"
    text = CORE.replace("datetime(2026, 3, 1, tzinfo=timezone.utc)", start)
    made = project_maker(package="rides_scheduled", definitions=text, rides=RIDES)
    made.write_config(orchestration="{one_dag_per_schedule: true, retries: 0}", spark="{profile: local}")
    (made.root / "dags").mkdir()
    loader = Path(__file__).resolve().parents[2] / "dags" / "featurestore_dags.py"
    (made.root / "dags" / loader.name).write_text(loader.read_text(encoding="utf-8"), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def store(project: Project) -> Iterator[FeatureStore]:
    with FeatureStore(project.root) as opened:
        opened.apply()
        yield opened


@pytest.fixture(scope="module")
def airflow(project: Project, store: FeatureStore) -> Iterator[AirflowServer]:
    server = airflow_server(store.settings)
    server.start()
    create_pool(store.settings)
    yield server
    server.stop()


def test_two_intervals_run_and_bad_data_stops_the_second(airflow: AirflowServer, store: FeatureStore) -> None:
    api = AirflowApi(airflow.url)
    _await(lambda: DAG in api.dag_ids())
    api.unpause(DAG)
    first, second = _ended_runs(api, 2)
    assert (first.state, second.state) == ("success", "failed"), [api.tasks(run) for run in (first, second)]
    assert (first.start, second.end) == (FIRST, MIDNIGHT)

    tasks = {task.task_id: task for task in api.tasks(second)}
    assert tasks["ride_stats.materialize"].state == "failed"
    told = api.log(second, tasks["ride_stats.materialize"])
    assert "expect_column_values_to_be_between" in told
    assert "-1.0" in told

    view = store.status()["views"]["ride_stats"]
    assert view["covered_until"] == view["published_until"] == (FIRST + DAY).isoformat().replace("+00:00", "Z")
    assert view["last_error"]["type"] == "GateRefused"
    served = store.get_online_features(["ride_stats:distance_2d", "tips:tip"], [{"driver_id": 1}])
    assert served.to_dict()["distance_2d"] == [10.0]


def test_the_mended_interval_recovers(airflow: AirflowServer, project: Project, store: FeatureStore) -> None:
    DeltaTable(project.root / "data" / "rides").delete("distance < 0")
    api = AirflowApi(airflow.url)
    failed = next(run for run in api.runs(DAG) if run.state == "failed")
    api.clear(DAG, failed.run_id)
    assert [run.state for run in _ended_runs(api, 2)] == ["success", "success"]
    assert store.missing_intervals("ride_stats", FIRST, MIDNIGHT) == ()
    answer = store.get_online_features(["ride_stats:distance_2d", "tips:tip"], [{"driver_id": 1}, {"driver_id": 2}])
    assert answer.to_dict()["distance_2d"] == [40.0, 5.0]
    assert [found.status for found in answer.predictions["tips"]] == ["CACHED", "CACHED"]
    assert answer.to_dict()["tip"] == [40.0 / 10 + 1, 5.0 / 10 + 0]


def test_a_stopped_airflow_leaves_no_process(airflow: AirflowServer) -> None:
    home = str(airflow.home)
    assert _processes(home)
    airflow.stop()
    assert _processes(home) == []


def _ended_runs(api: AirflowApi, count: int) -> tuple[DagRun, ...]:
    def ended() -> bool:
        try:
            runs = api.runs(DAG)
        except StateError:  # a busy machine's Airflow may take longer than a call waits
            return False
        return len(runs) >= count and all(run.state in {"success", "failed"} for run in runs)

    _await(ended)
    return api.runs(DAG)


def _await(condition: Callable[[], bool]) -> None:
    """Ask the scheduler again and again, for it tells nobody when it is done."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "Airflow did not get there in time"
        time.sleep(0.5)


def _processes(home: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == home:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
