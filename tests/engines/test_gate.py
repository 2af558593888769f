"""The gate on real frames: what passes, what is refused, and what it says of bad rows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from featurestore.intervals import Interval
from featurestore.ir.nodes import ExpectationNode
from featurestore.quality.gate import GateResult, check

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

STEP = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def rule(name: str, severity: Literal["critical", "warning"] = "critical", **arguments: Any) -> ExpectationNode:
    return ExpectationNode(name=name, arguments=json.dumps(arguments, sort_keys=True), severity=severity)


def positive(severity: Literal["critical", "warning"] = "critical") -> ExpectationNode:
    return rule("expect_column_values_to_be_between", severity, column="distance", min_value=0)


def gate(frame: DataFrame, *rules: ExpectationNode, folder: Path, **overrides: Any) -> GateResult:
    values: dict[str, Any] = {"view": "flights", "interval": STEP, "on": "output", "run_id": "run1"}
    values |= {"report_dir": folder, "key_columns": ("carrier", "number")}
    return check(frame, rules, **(values | overrides))


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    at = datetime(2026, 1, 1, 6, 0, 0, 123456, tzinfo=UTC)
    rows = [("AA", number, float(number - 3), "x", at) for number in range(30)] + [("ZZ", 99, None, "y", at)]
    return spark.createDataFrame(rows, "carrier string, number long, distance double, word string, at timestamp")


def test_rules_that_hold_pass_and_leave_a_report(
    frame: DataFrame, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = gate(
        frame,
        rule("expect_column_values_to_not_be_null", column="carrier"),
        rule("expect_column_values_to_be_between", column="distance", min_value=-3),
        rule("expect_table_row_count_to_be_between", min_value=1),
        folder=tmp_path,
    )
    assert (result.passed, result.failures, result.warnings) == (True, (), ())
    assert result.report == tmp_path / "flights" / "2026-01-01T000000Z_2026-01-02T000000Z" / "run1-output.html"
    assert "expect" in result.report.read_text().lower()
    assert "Calculating Metrics" not in "".join(capfd.readouterr())


def test_a_failure_names_rule_column_counts_and_rows_with_keys(frame: DataFrame, tmp_path: Path) -> None:
    result = gate(
        frame,
        positive(),
        rule("expect_column_mean_to_be_between", column="distance", max_value=1),
        rule("expect_column_values_to_be_in_set", column="word", value_set=["z"]),
        rule("expect_column_values_to_be_null", column="at"),
        folder=tmp_path,
    )
    assert not result.passed
    negative, mean, words, instants = result.failures
    assert negative.message == (
        "expect_column_values_to_be_between(column='distance', min_value=0): 3 of 31 rows fail,"
        ' such as {"carrier": "AA", "number": 0, "distance": -3.0}'
    )
    assert [row["number"] for row in negative.sample] == [0, 1, 2] and negative.unexpected_count == 3
    assert (mean.column, mean.observed, mean.unexpected_count) == ("distance", 11.5, None)
    assert mean.message.endswith("observed 11.5")
    assert (words.unexpected_count, len(words.sample)) == (31, 20)
    assert instants.sample[0]["at"] == "2026-01-01T06:00:00.123456Z"
    assert json.loads(json.dumps(negative.to_dict()))["expectation"] == negative.name
    report = result.report and result.report.read_text()
    assert report and "3 of 31 rows fail" in report


def test_a_warning_goes_on_and_is_said(frame: DataFrame, tmp_path: Path) -> None:
    result = gate(frame, positive("warning"), folder=tmp_path)
    assert result.passed and not result.failures
    assert [(w.severity, w.unexpected_count) for w in result.warnings] == [("warning", 3)]


def test_what_cannot_be_evaluated_is_refused_and_takes_no_other_rule_with_it(frame: DataFrame, tmp_path: Path) -> None:
    result = gate(
        frame,
        rule("expect_column_values_to_not_be_null", "warning", column="nope"),
        rule("expect_nothing_of_the_kind", column="word"),
        rule("expect_column_values_to_be_between", column="distance", no_such_argument=1),
        rule("expect_column_values_to_be_between", column="word", min_value=0),
        rule("expect_column_values_to_match_regex", column="word", regex="["),
        rule("expect_column_values_to_not_be_null", column="carrier"),
        folder=tmp_path,
    )
    assert [failure.column for failure in result.failures] == ["nope", "word", "distance", "word", "word"]
    assert all("could not be evaluated" in failure.message for failure in result.failures)
    assert 'column "nope"' in result.failures[0].message
    assert "expect_nothing_of_the_kind not found" in result.failures[1].message


def test_the_index_lists_reports_of_input_and_output_newest_first(frame: DataFrame, tmp_path: Path) -> None:
    bad = positive()
    inputs = ExpectationNode(name="expect_column_to_exist", arguments='{"column": "word"}', on="input")
    for on in ("input", "output", "output"):
        gate(frame, bad, inputs, folder=tmp_path, on=on)
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r'class="(\w+)".*?href="([^"]+)"', index) == [
        ("refused", "flights/2026-01-01T000000Z_2026-01-02T000000Z/run1-output.html"),
        ("passed", "flights/2026-01-01T000000Z_2026-01-02T000000Z/run1-input.html"),
    ]
    assert not list(tmp_path.rglob(".*.html"))


def test_without_expectations_neither_frame_nor_folder_is_touched(tmp_path: Path) -> None:
    untouched: Any = None
    assert gate(untouched, folder=tmp_path) == GateResult(passed=True)
    assert not list(tmp_path.iterdir())
