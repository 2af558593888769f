"""Command lines of jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from featurestore.embedded import spark_profile
from featurestore.intervals import Interval
from featurestore.orchestration.commands import fill_window, job_arguments
from featurestore.orchestration.graph import Stage
from featurestore.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for stage in Stage:
        (jobs / f"{stage}.py").touch()
    return Settings(repo=tmp_path, project="shop")


def test_a_job_gets_repo_window_and_every_view(settings: Settings) -> None:
    arguments = job_arguments(Stage.MATERIALIZE, ("ads", "users"), settings=settings)
    window = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert " ".join(fill_window(arguments, window)) == (
        f"{settings.repo}/jobs/materialize.py --repo {settings.repo} "
        "--start 2026-01-01T00:00:00Z --end 2026-01-02T00:00:00Z --view ads --view users"
    )


@pytest.mark.parametrize("stage", [Stage.PUBLISH, Stage.OPTIMIZE])
def test_publication_and_upkeep_have_no_window(stage: Stage, settings: Settings) -> None:
    arguments = job_arguments(stage, ("ads",), settings=settings)
    assert arguments == (f"{settings.repo}/jobs/{stage}.py", "--repo", str(settings.repo), "--view", "ads")


def test_a_repo_without_jobs_uses_those_beside_the_package(tmp_path: Path) -> None:
    arguments = job_arguments(Stage.PREDICT, ("ctr",), settings=Settings(repo=tmp_path, project="shop"))
    assert Path(arguments[0]) == Path(__file__).parents[3] / "jobs" / "predict.py"


def test_an_installed_package_has_its_job_files_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "featurestore" / "_jobs"
    inside.mkdir(parents=True)
    monkeypatch.setattr(spark_profile, "_PACKAGE", inside.parent)
    arguments = job_arguments(Stage.PREDICT, ("ctr",), settings=Settings(repo=tmp_path, project="shop"))
    assert Path(arguments[0]) == inside / "predict.py"
