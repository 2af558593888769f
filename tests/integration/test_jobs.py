"""The three jobs under a real spark-submit: exit codes, and exactly one result line each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from featurestore.embedded.spark_submit import resolve_spark_submit
from featurestore.errors import ExitCode
from featurestore.intervals import show_instant, utc_now
from featurestore.runtime.results import RESULT_PREFIX
from tests.support.project import Project
from tests.support.rides import CORE, RIDES, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    code: int
    results: tuple[Mapping[str, Any], ...]


def submit(project: Project, job: str, *arguments: str) -> Submitted:
    command = resolve_spark_submit("local")
    done = subprocess.run(
        command.command(JOBS / f"{job}.py", "--repo", str(project.root), *arguments),
        env=command.process_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT_PREFIX)]
    return Submitted(code=done.returncode, results=tuple(json.loads(x.removeprefix(RESULT_PREFIX)) for x in lines))


def step(number: int) -> tuple[str, ...]:
    return ("--start", show_instant(day(number)), "--end", show_instant(day(number + 1)))


@pytest.fixture(scope="module")
def submitted(project_maker: Callable[..., Project]) -> Iterator[Mapping[str, Future[Submitted]]]:
    """Run every case, two at a time where they don't wait for each other."""
    project = project_maker(definitions=CORE, rides=[*RIDES, ride(1, day(1, hour=8), -4.0, 5)])
    with project.open(utc_now, None) as store:
        store.apply()
    with ThreadPoolExecutor(2) as pool:

        def start(job: str, *arguments: str, after: Future[Submitted] | None = None) -> Future[Submitted]:
            def run() -> Submitted:
                if after is not None:
                    after.result()
                return submit(project, job, *arguments)

            return pool.submit(run)

        computed = start("materialize", *step(0))
        scored = start("predict", *step(0), after=computed)
        yield {
            "computed": computed,
            "scored": scored,
            "computed again": start("materialize", *step(0), after=computed),
            "refused": start("materialize", *step(1), after=computed),
            "input missing": start("predict", *step(1), after=computed),
            "published": start("publish", after=scored),
            "unknown view": start("publish", "--view", "nothing"),
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("case", "code", "view"),
    [
        ("computed", ExitCode.DONE, "ride_stats"),
        ("scored", ExitCode.DONE, "tips"),
        ("computed again", ExitCode.NOTHING_TO_DO, "ride_stats"),
        ("refused", ExitCode.REFUSED, "ride_stats"),
        ("input missing", ExitCode.RETRY_LATER, "tips"),
        ("published", ExitCode.DONE, "tips"),
        ("unknown view", ExitCode.USAGE, "nothing"),
    ],
)
def test_each_job_says_once_what_came_of_it(
    case: str, code: ExitCode, view: str, submitted: Mapping[str, Future[Submitted]]
) -> None:
    found = submitted[case].result()
    assert found.code == code, found
    (result,) = found.results
    assert result["exit_code"] == code
    assert result["views"][view]["outcome"] == code.name.lower()


def test_the_result_line_has_steps_and_counts(submitted: Mapping[str, Future[Submitted]]) -> None:
    (computed,) = submitted["computed"].result().results
    (interval,) = computed["views"]["ride_stats"]["intervals"]
    assert (interval["start"], interval["end"], interval["rows"]) == (show_instant(day(0)), show_instant(day(1)), 2)
    (published,) = submitted["published"].result().results
    assert {name: view["published"]["sent"] for name, view in published["views"].items()} == {
        "ride_stats": 2,
        "tips": 2,
    }
