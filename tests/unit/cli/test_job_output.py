"""What a verb that ran stages prints: a table, and for predictions how many were made anew."""

from __future__ import annotations

import pytest

from featurestore.cli.job_output import print_result
from featurestore.errors import ExitCode
from featurestore.intervals import Interval
from featurestore.runtime.results import IntervalResult, JobResult, ViewResult
from tests.support.offline_views import day


def step(number: int, **counts: int) -> IntervalResult:
    interval: Interval = day(number)
    return IntervalResult(interval=interval, outcome=ExitCode.DONE, rows=counts.get("predicted", 0), counts=counts)


def test_predictions_made_anew_are_counted_over_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    views = (
        ViewResult(view="clicks", outcome=ExitCode.DONE, intervals=(step(1, rows_read=9),)),
        ViewResult(
            view="scores",
            outcome=ExitCode.DONE,
            intervals=(step(1, entities=1000, predicted=1000), step(2, entities=1000, predicted=12)),
        ),
    )
    assert print_result(JobResult(views=views), json_output=False) is ExitCode.DONE
    out = capsys.readouterr().out
    assert "scores: predicted for 1,012 of 2,000 entities; the others' inputs are unchanged" in out
    assert "clicks: predicted" not in out
