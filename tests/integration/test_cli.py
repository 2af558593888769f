"""The command line on a project of its own, from an empty folder to services stopped."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from featurestore.cli.main import cli
from tests.support.project import Project

GOLDEN_HELP = Path(__file__).resolve().parents[1] / "golden" / "cli_help.txt"
MISTAKE = """
from featurestore import Entity, BatchFeatureView, FileSource
from featurestore.types import Int64

user = Entity(name="user", join_keys=["user_id", "site"], dtypes=[Int64])
pages = BatchFeatureView(name="pages", entities=[user], schedule="every day")
"""


def test_help_lists_the_verbs() -> None:
    found = CliRunner().invoke(cli, ["--help"], prog_name="featurestore", terminal_width=100)
    assert found.output == GOLDEN_HELP.read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty folder, and its services stopped at the end."""
    made = Project(root=tmp_path / "repo", name="my_features", package="definitions")
    made.root.mkdir()
    yield made
    made.redis.stop()


def said(project: Project, *argv: str, code: int = 0) -> str:
    done = project.run(*argv)
    assert done.returncode == code, (argv, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def told(project: Project, *argv: str) -> Any:
    return json.loads(said(project, *argv, "--json"))


def land_clicks(project: Project) -> None:
    at = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (3, 9, 20)]
    clicks = {"user_id": [1, 1, 2], "clicked": [1, 0, 1], "page_seconds": [2.0, 4.0, 8.0], "event_timestamp": at}
    (project.root / "data").mkdir()
    pq.write_table(pa.table(clicks), project.root / "data" / "clicks.parquet")


@pytest.mark.redis
@pytest.mark.spark
@pytest.mark.slow
def test_from_an_empty_folder_to_a_lookup(project: Project) -> None:
    assert "created feature_store.yaml" in said(project, "init")
    said(project, "up", "--no-airflow")
    assert project.redis.is_running()
    land_clicks(project)
    assert "user_data" in said(project, "plan")
    assert "generation 1" in said(project, "apply")
    result = told(project, "materialize", "2026-01-01", "2026-01-02")
    assert (result["outcome"], result["views"]["user_data"]["rows"]) == ("done", 2)

    status = told(project, "status")["views"]["user_data"]
    assert status["covered"] == [["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]]
    feature = ("-f", "user_data:number_of_clicks")
    found = told(project, "get-online-features", "-e", "user_id=1", "-e", "user_id=9", *feature)
    # More than 30 days have gone since the covered day ended.
    assert found["statuses"] == {"number_of_clicks": ["OUTSIDE_MAX_AGE", "NOT_FOUND"]}
    assert all(part["ok"] for part in told(project, "doctor"))

    with sqlite3.connect(project.root / ".featurestore" / "registry.db") as database:
        assert database.execute("DELETE FROM runs").rowcount == 1
    database.close()
    assert told(project, "status")["views"]["user_data"]["covered"] == []
    assert "user_data: 1 runs added, 0 removed" in said(project, "ledger", "rebuild")
    assert told(project, "status")["views"]["user_data"]["covered"] == status["covered"]

    assert "Redis stopped" in said(project, "down")
    assert not project.redis.is_running()


def test_mistakes_are_named_all_at_once(project: Project) -> None:
    said(project, "init")
    (project.root / "definitions" / "features.py").write_text(MISTAKE, encoding="utf-8")
    complaint = said(project, "plan", code=2)
    for problem in ("4 definition problems", "1 dtypes for 2 join keys", "no source", "no start", "every day"):
        assert problem in complaint
    assert "Traceback" not in complaint
