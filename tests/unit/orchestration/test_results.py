"""Result lines, adoption from a carrying submit, and verdicts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from featurestore.errors import ExitCode
from featurestore.orchestration.results import VerdictKind, adopt, judge_submit, judge_view, parse_result
from featurestore.runtime.results import RESULT_PREFIX


def entry(outcome: str, **values: Any) -> dict[str, Any]:
    return {"outcome": outcome, "rows": 3, "error": None, **values}


def result(**outcomes: str) -> dict[str, Any]:
    return {"outcome": "done", "exit_code": 0, "views": {view: entry(how) for view, how in outcomes.items()}}


@pytest.mark.parametrize("line", ["", "INFO done", RESULT_PREFIX + "{", RESULT_PREFIX + "[1]", RESULT_PREFIX + "{}"])
def test_other_lines_are_no_result(line: str) -> None:
    assert parse_result(line) is None


def test_a_result_line_is_read() -> None:
    assert parse_result(RESULT_PREFIX + json.dumps(result(ads="done"))) == result(ads="done")


@pytest.mark.parametrize("outcome", ["done", "nothing_to_do", "refused", "failed"])
def test_a_view_takes_its_own_result_once(outcome: str) -> None:
    carried = {**result(ads=outcome, users="done"), "attempt": 1}
    assert adopt(carried, "ads", adopted=None) == entry(outcome)
    assert adopt(carried, "ads", adopted=1) is None, "tried again after it took this result"
    assert adopt({**carried, "attempt": 2}, "ads", adopted=1) == entry(outcome), "the whole run was cleared"


def test_a_view_submits_for_itself_where_nothing_is_to_be_taken() -> None:
    assert adopt(None, "ads", adopted=None) is None, "the submit died"
    assert adopt({**result(users="done"), "attempt": 1}, "ads", adopted=None) is None, "the view is not in it"
    assert adopt({**result(ads="retry_later"), "attempt": 1}, "ads", adopted=None) is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("done", VerdictKind.SUCCESS),
        ("nothing_to_do", VerdictKind.SUCCESS),
        ("refused", VerdictKind.FAIL),
        ("usage", VerdictKind.FAIL),
        ("failed", VerdictKind.RETRY),
        ("retry_later", VerdictKind.RETRY),
        (None, VerdictKind.RETRY),
    ],
)
def test_outcome_decides_on_a_retry(outcome: str, kind: VerdictKind) -> None:
    assert judge_view("ads", entry(outcome)).kind is kind
    assert judge_submit(["ads"], 0, result(ads=outcome)).kind is kind


def test_a_refusal_names_rule_sample_and_report() -> None:
    error = {
        "type": "GateRefused",
        "message": "1 rule failed",
        "rule": "not_null(total)",
        "sample": [{"user_id": number} for number in range(9)],
        "report": "/reports/1.html",
    }
    message = judge_view("ads", entry("refused", error=error)).message
    assert message.startswith("ads: refused: GateRefused: 1 rule failed\n  rule: not_null(total)\n")
    assert message.count("  sample: ") == 5
    assert message.endswith("  report: /reports/1.html")


def test_a_carrying_submit_leaves_failures_to_the_views_own_tasks() -> None:
    assert judge_submit(["ads", "users"], 65, result(ads="refused", users="done")).kind is VerdictKind.SUCCESS
    assert judge_submit(["ads", "users"], 70, result(ads="failed", users="refused")).kind is VerdictKind.SUCCESS
    assert judge_submit(["ads", "users"], 75, result(ads="failed", users="retry_later")).kind is VerdictKind.RETRY


def test_a_job_without_result_says_how_it_ended() -> None:
    alone, carrying = judge_submit(["ads"], -9, None), judge_submit(["ads", "users"], 137, None)
    assert (alone.kind, carrying.kind) == (VerdictKind.RETRY, VerdictKind.FAIL)
    assert alone.message == "the job for ads was killed by signal 9 without a result"
    assert carrying.message == "the job for ads, users ended with exit code 137 (not one of ours) without a result"
    assert judge_submit(["ads"], ExitCode.USAGE, None).kind is VerdictKind.FAIL
    assert judge_submit(["ads"], 0, None).kind is VerdictKind.RETRY, "success needs its result"


def test_an_entry_that_is_missing_takes_the_outcome_of_the_whole_job() -> None:
    for views in (["ads"], ["ads", "users"]):
        wrong = {"outcome": "usage", "exit_code": 2, "views": {}}
        assert judge_submit(views, 2, wrong).kind is VerdictKind.FAIL
        busy = {"outcome": "retry_later", "exit_code": 75, "views": {}}
        assert judge_submit(views, 75, busy).kind is VerdictKind.RETRY
