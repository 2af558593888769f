"""The operator in this process, against a real job program that speaks the result protocol."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from featurestore.orchestration.airflow import SparkSubmitJob

pytestmark = pytest.mark.airflow

JOB = """
import json, os, sys, time
outcomes = json.loads(sys.argv[1])
errors = {"refused": ERROR}
views = {name: {"outcome": how, "rows": 1, "error": errors.get(how)} for name, how in outcomes.items()}
print("arguments", *sys.argv[2:], flush=True)
if "forever" in outcomes.values():
    open(os.path.join(os.path.dirname(__file__), "started"), "w").close()
    time.sleep(600)
if outcomes: print("FEATURESTORE_RESULT " + json.dumps({"outcome": "done", "exit_code": 0, "views": views}))
""".replace("ERROR", repr({"type": "GateRefused", "message": "bad rows", "rule": "not_null", "report": "/r.html"}))


@dataclass
class TaskInstance:
    """The part of Airflow's task instance that the operator uses."""

    try_number: int = 1
    xcom: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value

    def xcom_pull(self, task_ids: str) -> Any:
        return self.xcom.get(task_ids)


def make(tmp_path: Path, outcomes: str, **options: Any) -> SparkSubmitJob:
    from featurestore.orchestration.airflow import SparkSubmitJob

    program = tmp_path / "job.py"
    program.write_text(JOB, encoding="utf-8")
    values: dict[str, Any] = {
        "task_id": "materialize",
        "repo": str(tmp_path),
        "spark_profile": "local",
        "arguments": ("jobs/materialize.py", "--start", "{start}", "--end", "{end}"),
        "views": ("ads",),
        "program": (sys.executable, str(program), outcomes),
        "window_start": "2026-01-01 00:00:00+00:00",
        "window_end": "2026-01-02 00:00:00+00:00",
    }
    return SparkSubmitJob(**(values | options))


def execute(task: SparkSubmitJob, ti: TaskInstance, store: dict[str, Any] | None = None) -> Any:
    """Execute as the task runner does: known to Airflow's guard as the running operator."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    class Store:
        get = staticmethod((store or {}).get)
        set = staticmethod(({} if store is None else store).__setitem__)

    token = ExecutorSafeguard.tracker.set(task)
    try:
        context: Any = {"ti": ti, "task_state_store": Store()}
        return task.execute(context)
    finally:
        ExecutorSafeguard.tracker.reset(token)


def test_a_job_leaves_its_result_and_logs_its_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ti = TaskInstance(try_number=3)
    execute(make(tmp_path, '{"ads": "done"}'), ti)
    assert ti.xcom["return_value"]["views"]["ads"]["outcome"] == "done"
    assert ti.xcom["return_value"]["attempt"] == 3
    assert (
        "arguments jobs/materialize.py --start 2026-01-01T00:00:00Z --end 2026-01-02T00:00:00Z"
        in capsys.readouterr().out
    )


def test_a_refusal_ends_the_task_and_leaves_its_result(tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    ti = TaskInstance()
    with pytest.raises(
        AirflowFailException, match=r"(?s)ads: refused: GateRefused: bad rows.*rule: not_null.*/r\.html"
    ):
        execute(make(tmp_path, '{"ads": "refused"}'), ti)
    assert ti.xcom["return_value"]["views"]["ads"]["outcome"] == "refused"


@pytest.mark.parametrize("outcomes", ['{"ads": "retry_later"}', '{"ads": "failed"}', "{}"])
def test_what_may_pass_later_is_tried_again(tmp_path: Path, outcomes: str) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException) as caught:
        execute(make(tmp_path, outcomes), TaskInstance())
    assert not isinstance(caught.value, AirflowFailException)


def test_a_view_takes_a_result_once_and_then_submits_for_itself(tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowException

    carried = {"attempt": 1, "views": {"ads": {"outcome": "failed", "error": None}}}
    ti, store = TaskInstance(xcom={"spark-submit.materialize_1": carried}), {"other": 1}
    task = make(tmp_path, '{"ads": "done"}', submit="spark-submit.materialize_1")
    with pytest.raises(AirflowException, match="ads: failed"):
        execute(task, ti, store)
    assert "return_value" not in ti.xcom, "nothing was submitted"
    execute(task, ti, store)
    assert ti.xcom["return_value"]["views"]["ads"]["outcome"] == "done"


def test_a_run_without_data_interval_says_what_to_do(tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"(?s)no data interval .*`airflow backfill create`"):
        execute(make(tmp_path, "{}", window_start="None"), TaskInstance())


def test_on_kill_ends_the_job(tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowException

    task = make(tmp_path, '{"ads": "forever"}')
    started = tmp_path / "started"
    os.mkfifo(started)

    def kill() -> None:
        started.read_text(encoding="utf-8")
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AirflowException, match="killed by signal 15"):
        execute(task, TaskInstance())
    killer.join()
