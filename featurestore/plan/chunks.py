"""How many steps one run computes: what start-up and repeated reading cost against what a lost run costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from featurestore.intervals import Interval
from featurestore.ir.nodes import (
    Aggregations,
    FunctionTransformation,
    Passthrough,
    SqlTransformation,
    StoredViewNode,
    ViewNode,
)
from featurestore.plan.cost import StepCost

__all__ = ["MOST_STEPS", "Part", "join_parts", "steps_per_run"]

MOST_STEPS = 64
"""A run of many steps repeats each tile for every step whose windows it is in, in one plan."""

_SECONDS = 60.0
"""What a run aims at: a run that is lost is done again whole."""

_UNKNOWN = 16
_MOST_QUERIES = 8
"""Steps of a run whose code runs once for each of them: so many queries are one plan."""

_ROW_BY_ROW = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_to_exist",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
"""Expectations that hold for several steps' rows exactly when they hold for each step's, unless ``mostly`` is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An interval to compute: ``first`` of a covered stretch or not, covered already or not; ``steps`` 0: not whole."""

    interval: Interval
    first: bool
    covered: bool
    steps: int = 1

    def is_followed_by(self, other: Part) -> bool:
        """Say whether both can be one run."""
        return (
            self.interval.end == other.interval.start
            and not other.first
            and self.covered == other.covered
            and min(self.steps, other.steps) > 0
        )


def steps_per_run(view: StoredViewNode, cost: StepCost | None, wanted: int | None = None) -> int:
    """Choose how many steps one run of the view computes at once; 1 where the steps cannot share a run.

    Steps of a prediction view compare with the predictions of the step before, and expectations about all rows of a
    step (a mean, a number of rows) are about one step. Otherwise as many as fill a minute of one core by ``cost``, what
    the view's steps took before, and not fewer than its longest window has: each run reads that far back. ``wanted``
    is taken instead where steps can share a run.
    """
    if not isinstance(view, ViewNode) or view.schedule is None or not _is_gated_by_row(view):
        return 1
    if wanted is not None:
        return wanted
    fitting = _fitting(cost)
    match view.transformation:
        case Aggregations():
            fitting = max(fitting, _steps_of(view, view.longest_window))
        case SqlTransformation() | FunctionTransformation() as code if code.per == "step" or code.lookback is not None:
            fitting = min(fitting, _MOST_QUERIES)
        case Passthrough() | SqlTransformation() | FunctionTransformation():
            pass
    return min(max(fitting, 1), MOST_STEPS)


def join_parts(parts: Iterable[Part], most: int) -> Iterator[Part]:
    """Join whole steps that follow each other into runs of up to ``most``.

    What begins a stretch begins a run, and a run is covered as a whole or not at all.
    """
    run: Part | None = None
    for part in parts:
        if run is not None and run.is_followed_by(part) and run.steps < most:
            interval = Interval(run.interval.start, part.interval.end)
            run = replace(run, interval=interval, steps=run.steps + 1)
            continue
        if run is not None:
            yield run
        run = part
    if run is not None:
        yield run


def _fitting(cost: StepCost | None) -> int:
    """Divide the minute by what a step takes of a core: start-up, which more steps share, does not count."""
    taken = None if cost is None else cost.seconds if cost.task_seconds is None else cost.task_seconds
    return math.floor(_SECONDS / taken) if taken else _UNKNOWN


def _is_gated_by_row(view: ViewNode) -> bool:
    return all(rule.name in _ROW_BY_ROW and '"mostly"' not in rule.arguments for rule in view.expectations)


def _steps_of(view: ViewNode, window: timedelta | None) -> int:
    if window is None or view.schedule is None or view.start is None:
        return 1
    return math.ceil(window / (view.schedule.next(view.start) - view.schedule.floor(view.start)))
