"""A real ``airflow standalone``: starts healthy, serves its CLI, and leaves no process behind."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.embedded.airflow_server import AirflowServer
from featurestore.embedded.process import MARKER, read_process
from featurestore.errors import StateError

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def embedded_example():
    @task
    def done():
        return 1
    done()

embedded_example()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AirflowServer]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "example.py").write_text(DAG)
    server = AirflowServer(home=tmp_path / "airflow", dags_folder=tmp_path / "dags", env={"EXAMPLE": "1"})
    yield server
    server.stop()


def test_before_the_first_start_nothing_runs(server: AirflowServer) -> None:
    assert not server.is_running()
    assert not server.is_healthy()
    assert not server.stop()
    with pytest.raises(StateError, match="featurestore up"):
        _ = server.url


@pytest.mark.airflow
@pytest.mark.slow
def test_it_starts_healthy_once_and_stops_whole(server: AirflowServer) -> None:
    assert server.start()
    assert not server.start()
    assert server.is_healthy()
    with urllib.request.urlopen(f"{server.url}/api/v2/version") as response:
        assert response.status == 200
    listed = server.run_cli(["dags", "reserialize"])
    assert listed.returncode == 0, listed.stderr
    assert "embedded_example" in server.run_cli(["dags", "list", "--output", "plain"]).stdout
    process = read_process(server.home / "standalone.json")
    assert process is not None
    assert _marked(process.marker)
    assert server.stop()
    assert not server.is_running()
    assert _marked(process.marker) == []


def _marked(marker: str) -> list[str]:
    """Command lines of the live processes that inherited the marker."""
    needle = f"{MARKER}={marker}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
