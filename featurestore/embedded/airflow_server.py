"""The project's own Airflow (``airflow standalone`` on SQLite): started, watched, and stopped with all its children."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from featurestore.embedded.process import (
    child_environment,
    exclusive_lock,
    is_listening,
    read_process,
    spawn_detached,
    stop_process,
    tail,
    write_process,
)
from featurestore.errors import StateError, ToolMissing
from featurestore.settings import environment

__all__ = ["AirflowServer"]

_HOST = "127.0.0.1"
_UNSTARTED_PORT = 8080
_HEALTH_PATH = "/api/v2/monitor/health"
_COMPONENTS = ("metadatabase", "scheduler", "dag_processor")


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowServer:
    """One Airflow whose database, logs and pid file lie in ``home``; its API answers on 127.0.0.1 only.

    ``env`` is added to the environment of Airflow and of its tasks, over the settings made here.
    """

    home: Path
    dags_folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    parallelism: int = 2
    start_seconds: float = 180.0

    @property
    def log(self) -> Path:
        return self.home / "standalone.log"

    @property
    def port(self) -> int:
        """The port of the running (or last) server; 0 before the first start."""
        process = read_process(self._pid_file)
        return process.port if process is not None else 0

    @property
    def url(self) -> str:
        """Where UI and API are; StateError when it does not run."""
        if not self.is_running():
            raise StateError(f"Airflow of {self.home} does not run; start it with `featurestore up`")
        return _url(self.port)

    def is_running(self) -> bool:
        process = read_process(self._pid_file)
        return process is not None and process.is_running()

    def is_healthy(self) -> bool:
        """Whether API, database, scheduler and DAG processor all report healthy."""
        return self._waiting_for() == ""

    def start(self) -> bool:
        """Start Airflow and wait until it is healthy; False when it already was.

        Idempotent; of several starters at once one starts it and the others wait for it. An unhealthy start is
        stopped again and raises ToolMissing with the end of the log.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.home / "standalone.lock"):
            if self.is_running():
                self._wait_until_healthy()
                return False
            self._stop_remains()
            port = _free_port(self.port)
            process = spawn_detached(
                [sys.executable, "-m", "airflow", "standalone"],
                environment=child_environment(self._settings(port)),
                log=self.log,
                marker=f"airflow:{uuid.uuid4().hex}",
            )
            write_process(self._pid_file, replace(process, port=port))
            try:
                self._wait_until_healthy()
            except BaseException:
                stop_process(process)
                raise
        return True

    def stop(self, *, grace_seconds: float = 8.0) -> bool:
        """End Airflow and everything it started, running tasks included; False when nothing ran."""
        if not self.home.is_dir():
            return False
        with exclusive_lock(self.home / "standalone.lock"):
            return self._stop_remains(grace_seconds=grace_seconds)

    def run_cli(
        self, args: Sequence[str], *, timeout_seconds: float | None = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``airflow <args>`` against this home and capture its output; the caller judges the exit code."""
        return subprocess.run(
            [sys.executable, "-m", "airflow", *args],
            env=child_environment(self._settings(self.port or _UNSTARTED_PORT)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    @property
    def _pid_file(self) -> Path:
        return self.home / "standalone.json"

    def _settings(self, port: int) -> dict[str, str]:
        home = self.home.resolve()
        return {
            # standalone runs its parts by the bare name `airflow`, which lies beside this Python.
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), environment("PATH") or os.defpath)),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder.resolve()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{_url(port)}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__API__HOST": _HOST,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": _url(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "SCARF_ANALYTICS": "false",
            "DO_NOT_TRACK": "1",
            "NO_PROXY": _with_local_host(self.env.get("NO_PROXY", "")),
            **{name: value for name, value in self.env.items() if name != "NO_PROXY"},
        }

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        waiting_for = "the API"
        while time.monotonic() < deadline:
            if not (waiting_for := self._waiting_for()):
                return
            if not self.is_running():
                raise ToolMissing(f"airflow standalone ended while starting; the end of {self.log}:\n{tail(self.log)}")
            time.sleep(0.25)
        raise ToolMissing(
            f"airflow standalone was not healthy within {self.start_seconds:g} s (waiting for {waiting_for}); "
            f"the end of {self.log}:\n{tail(self.log)}"
        )

    def _waiting_for(self) -> str:
        """What is not healthy yet; empty when all is. A stranger's Airflow on our port does not count as ours."""
        process = read_process(self._pid_file)
        if process is None or not process.is_running():
            return "the process"
        return _unhealthy(process.port) or ("" if is_listening(process, process.port) else "our own API on the port")

    def _stop_remains(self, *, grace_seconds: float = 8.0) -> bool:
        """End what the recorded server left, even if the server itself is gone already; keep its port on record."""
        process = read_process(self._pid_file)
        return process is not None and stop_process(process, grace_seconds=grace_seconds)


def _url(port: int) -> str:
    return f"http://{_HOST}:{port}"


def _unhealthy(port: int) -> str:
    """Names of the components that do not report healthy yet; empty when all do."""
    try:
        with _DIRECT.open(f"{_url(port)}{_HEALTH_PATH}", timeout=5) as response:
            report = json.load(response)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return "the API"
    return ", ".join(name for name in _COMPONENTS if (report.get(name) or {}).get("status") != "healthy")


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_port(preferred: int) -> int:
    """Give ``preferred`` (0: none) if nothing listens there, else a port the kernel picks."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StateError(f"no free port on {_HOST}")


def _with_local_host(names: str) -> str:
    return ",".join(dict.fromkeys([*filter(None, names.split(",")), _HOST, "localhost"]))
