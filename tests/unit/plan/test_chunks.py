"""How many steps share a run, and which never do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import CodeRef, ExpectationNode, FunctionTransformation, SqlTransformation, StoredViewNode
from featurestore.ir.schedule import parse_schedule
from featurestore.plan.chunks import MOST_STEPS, steps_per_run
from featurestore.plan.cost import StepCost
from featurestore.plan.stages import ComputeStage, build_stages
from tests.support.nodes import START, aggregate_view, manifest_of, plain_view, prediction_view

DAY = timedelta(days=1)


def days(start: float, end: float) -> Interval:
    return Interval(START + start * DAY, START + end * DAY)


def runs(view: StoredViewNode, *done: Interval, most: int = 4, end: float = 10, **options: Any) -> list[ComputeStage]:
    coverages, limits = {view.name: Coverage.of(done)}, {view.name: most}
    stages = build_stages(manifest_of(view), [view.name], days(0, end), coverages, steps_per_run=limits, **options)
    return [stage for stage in stages if isinstance(stage, ComputeStage)]


def test_steps_that_follow_each_other_share_runs_and_a_hole_parts_them() -> None:
    found = runs(aggregate_view(), days(5, 6))
    assert [(run.interval, run.steps, run.first) for run in found] == [
        (days(0, 4), 4, True),
        (days(4, 5), 1, False),
        (days(6, 10), 4, False),
    ]
    assert str(found[0]) == "compute stats [2026-01-01T00:00:00Z, 2026-01-05T00:00:00Z) (4 steps)"


def test_what_is_repaired_and_what_is_new_are_runs_apart() -> None:
    found = runs(aggregate_view(), days(0, 2), end=4, repair=True)
    assert [(run.interval, run.repair) for run in found] == [(days(0, 2), True), (days(2, 4), False)]


def test_a_part_of_a_step_is_a_run_of_its_own() -> None:
    found = runs(plain_view(), days(1.5, 2), end=5)
    assert [(run.interval, run.steps) for run in found] == [
        (days(0, 1), 1),
        (days(1, 1.5), 1),
        (days(2, 5), 3),
    ]


def test_runs_aim_at_a_minute_and_at_their_windows() -> None:
    assert steps_per_run(plain_view(), StepCost(runs=1, seconds=6.0)) == 10
    assert steps_per_run(plain_view(), StepCost(runs=1, seconds=6.0, task_seconds=2.0)) == 30
    assert steps_per_run(plain_view(), StepCost(runs=1, seconds=0.001)) == MOST_STEPS
    assert steps_per_run(plain_view(), StepCost(runs=1, seconds=3600.0)) == 1
    # Seven days of windows: a shorter run would read more that it does not compute than it does.
    assert steps_per_run(aggregate_view(), StepCost(runs=1, seconds=3600.0)) == 7
    assert steps_per_run(aggregate_view(schedule=parse_schedule("@hourly")), StepCost(runs=1, seconds=60.0)) == 64
    assert steps_per_run(plain_view(), None, wanted=5) == 5


def test_code_that_runs_for_each_step_shares_few() -> None:
    by_step = SqlTransformation(text="SELECT 1", per="step", lookback=None)
    looks_back = FunctionTransformation(code=CodeRef(path="m:f", digest="d"), per="row", lookback=DAY)
    by_row = SqlTransformation(text="SELECT 1", per="row", lookback=None)
    quick = StepCost(runs=1, seconds=1.0)
    limits = [steps_per_run(plain_view(transformation=t), quick) for t in (by_step, looks_back, by_row)]
    assert limits == [8, 8, 60]


@pytest.mark.parametrize(
    ("rule", "arguments", "expected"),
    [
        ("expect_column_values_to_be_between", '{"column":"clicked","min_value":0}', 9),
        ("expect_column_values_to_be_between", '{"column":"clicked","min_value":0,"mostly":0.9}', 1),
        ("expect_table_row_count_to_be_between", '{"min_value":100}', 1),
        ("expect_column_mean_to_be_between", '{"column":"clicked","max_value":1}', 1),
    ],
)
def test_a_rule_about_all_rows_of_a_step_is_checked_step_by_step(rule: str, arguments: str, expected: int) -> None:
    view = plain_view(expectations=(ExpectationNode(name=rule, arguments=arguments),))
    assert steps_per_run(view, None, wanted=9) == expected


def test_predictions_and_views_without_steps_are_not_put_together() -> None:
    assert steps_per_run(prediction_view(), None, wanted=9) == 1
    assert steps_per_run(plain_view(schedule=None), None, wanted=9) == 1
