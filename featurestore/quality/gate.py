"""Check one frame against a view's expectations, and leave a report."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from featurestore.intervals import Interval
from featurestore.ir.nodes import ExpectationNode
from featurestore.quality.results import GateResult, RuleFailure

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["GateResult", "RuleFailure", "check"]

_logger = logging.getLogger(__name__)

_one_at_a_time = threading.Lock()
"""Great Expectations keeps its context in the process: runs that are computed side by side are checked in turn."""


def check(
    frame: DataFrame,
    expectations: Sequence[ExpectationNode],
    *,
    view: str,
    interval: Interval,
    on: Literal["input", "output"],
    report_dir: Path,
    key_columns: Sequence[str],
    run_id: str,
) -> GateResult:
    """Evaluate the expectations that check ``on``; none of them, and neither the frame nor GX is touched.

    A rule that cannot be evaluated is a critical failure whatever its severity. The report lies at
    ``report_dir/<view>/<interval>/<run_id>-<on>.html``; a retry of the run replaces it. Row-by-row rules
    share one scan of the frame, uniqueness and quantiles cost one each, and so does each failing rule for its sample:
    give a frame that is stored, not one that is computed.
    """
    rules = tuple(rule for rule in expectations if rule.on == on)
    if not rules:
        return GateResult(passed=True)
    from featurestore.quality.evaluate import evaluate
    from featurestore.quality.report import write_report

    with _one_at_a_time:
        evaluation = evaluate(frame, rules, key_columns=key_columns, title=f"{view} {interval} {on}")
    failures = tuple(failure for failure in evaluation.failures if failure.severity == "critical")
    warnings = tuple(failure for failure in evaluation.failures if failure.severity == "warning")
    for warning in warnings:
        _logger.warning("%s %s: %s", view, interval, warning.message)
    report = write_report(
        report_dir,
        view=view,
        interval=interval,
        run_id=run_id,
        on=on,
        rules=len(rules),
        failures=evaluation.failures,
        page=evaluation.page,
    )
    return GateResult(passed=not failures, failures=failures, warnings=warnings, report=report)
