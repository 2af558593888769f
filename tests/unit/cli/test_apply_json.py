"""``apply --json`` starts the project's own Redis as ``apply`` does, and keeps stdout for the document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project import Project


@pytest.mark.redis
def test_the_notice_goes_to_stderr(tmp_path: Path) -> None:
    project = Project(root=tmp_path / "repo", name="my_features", package="definitions")
    project.root.mkdir()
    try:
        assert project.run("init").returncode == 0
        done = project.run("apply", "--json")
        assert done.returncode == 0, done.stderr
        assert "Redis started" in done.stderr
        assert "user_data" in json.dumps(json.loads(done.stdout))
    finally:
        project.redis.stop()
