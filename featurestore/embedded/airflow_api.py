"""The REST API of the project's own Airflow, as far as starting and watching DAG runs needs it."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from featurestore.errors import StateError
from featurestore.intervals import parse_instant

__all__ = ["AirflowApi", "DagRun", "TaskInstance"]

_TIMEOUT_SECONDS = 60
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """One run of a DAG; ``state`` is Airflow's: queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstance:
    """A task of a run; ``state`` is None until the scheduler looked at it."""

    task_id: str
    state: str | None
    tries: int
    seconds: float


class AirflowApi:
    """Calls the API at ``url`` with a token of the simple auth manager; StateError names what was refused."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._token: str | None = None

    def dag_ids(self) -> tuple[str, ...]:
        """Name the DAGs that Airflow has parsed."""
        return tuple(dag["dag_id"] for dag in self._call("GET", "/api/v2/dags?limit=1000")["dags"])

    def import_errors(self) -> tuple[str, ...]:
        found = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return tuple(f"{error['filename']}: {error['stack_trace']}" for error in found)

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool, or change the one there is. Idempotent."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        if any(found["name"] == name for found in self._call("GET", "/api/v2/pools?limit=1000")["pools"]):
            self._call("PATCH", f"/api/v2/pools/{_quoted(name)}", pool)
        else:
            self._call("POST", "/api/v2/pools", pool)

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{_quoted(dag_id)}", {"is_paused": False})

    def runs(self, dag_id: str) -> tuple[DagRun, ...]:
        """Give a DAG's runs, oldest data interval first."""
        found = self._call("GET", f"/api/v2/dags/{_quoted(dag_id)}/dagRuns?limit=1000&order_by=run_after")["dag_runs"]
        return tuple(
            DagRun(
                dag_id=dag_id,
                run_id=run["dag_run_id"],
                state=run["state"],
                start=_instant(run["data_interval_start"]),
                end=_instant(run["data_interval_end"]),
            )
            for run in found
        )

    def clear(self, dag_id: str, run_id: str) -> None:
        """Let all tasks of a run start again: done steps have nothing to do, and what was mended is published."""
        body = {"dry_run": False, "only_failed": False}
        self._call("POST", f"/api/v2/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}/clear", body)

    def tasks(self, run: DagRun) -> tuple[TaskInstance, ...]:
        path = f"/api/v2/dags/{_quoted(run.dag_id)}/dagRuns/{_quoted(run.run_id)}/taskInstances?limit=1000"
        return tuple(
            TaskInstance(
                task_id=task["task_id"], state=task["state"], tries=task["try_number"], seconds=task["duration"] or 0.0
            )
            for task in self._call("GET", path)["task_instances"]
        )

    def log(self, run: DagRun, task: TaskInstance) -> str:
        """Give the log of a task's last try as text."""
        path = (
            f"/api/v2/dags/{_quoted(run.dag_id)}/dagRuns/{_quoted(run.run_id)}/taskInstances/"
            f"{_quoted(task.task_id)}/logs/{max(task.tries, 1)}?full_content=true"
        )
        content = self._call("GET", path)["content"]
        lines = [entry.get("event", "") if isinstance(entry, dict) else str(entry) for entry in content]
        return "\n".join(lines)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if self._token is None:
            self._token = self._request("GET", "/auth/token", None, {})["access_token"]
        return self._request(method, path, body, {"Authorization": f"Bearer {self._token}"})

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data=data, method=method, headers={"Content-Type": "application/json", **headers}
        )
        try:
            with _DIRECT.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise StateError(f"Airflow refused {method} {path}: {error.code} {detail}", status=error.code) from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise StateError(f"Airflow at {self._url} does not answer {method} {path}: {error}") from error


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)
