"""The run protocol for one (view version, interval): claim, compute once, gate, commit, record.

The interval is a step, or several that follow each other and are computed at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from featurestore.engines.base import ComputedStep
from featurestore.errors import ExitCode, GateRefused
from featurestore.intervals import Interval
from featurestore.ir.columns import COMPUTED_AT, table_location
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.faults import FaultPoint, reach
from featurestore.runtime.lease import LEASE, held_lease, recorded_failure
from featurestore.runtime.results import IntervalResult
from featurestore.stores.base import Claim, CommitRecord, RunRecord, RunState

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["LEASE", "Computation", "recover", "run_interval"]

logger = logging.getLogger(__name__)

Computation: TypeAlias = "Callable[[Claim], ComputedStep[DataFrame]]"


class _PhaseClock:
    """Add up the seconds of named phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def _app_id(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> str:
    """Name a run's Delta transactions; with the generation it makes the commit happen once."""
    return f"{context.settings.project}/{table_location(view)}/{interval}"


def recover(context: RuntimeContext, view: StoredViewNode) -> int:
    """Tell the ledger of commits that the Delta log has and it lacks, and clear up after them; give their number."""
    if not context.offline.exists(view):
        return 0
    known = {
        (run.interval, run.generation)
        for run in context.ledger.runs(view.name, view.version)
        if run.delta_version is not None
    }
    lost = [c for c in context.offline.commits(view) if (c.interval, c.generation) not in known]
    for commit in lost:
        logger.info("%s %s: found committed in the Delta log, recorded now", view.name, commit.interval)
        context.ledger.finish(commit, now=context.clock())
        context.offline.drop_staging(commit.run_id, view)
    return len(lost)


def run_interval(
    context: RuntimeContext,
    view: StoredViewNode,
    interval: Interval,
    *,
    inputs: Mapping[str, Any],
    compute: Computation,
    repair: bool = False,
    steps: int = 1,
    confirm: Callable[[], bool] = lambda: True,
) -> IntervalResult:
    """Do one run to its end. A crash after any line, then the same call, gives the same table.

    Raises IntervalBusy while another owner's lease lives, GateRefused when a critical expectation fails, and
    whatever the computation raises; the ledger has the reason in each case. Before the commit ``confirm`` is asked:
    it says whether the rows are right, or are to be computed once more, or raises InputNotReady. Of a run of several
    ``steps`` that is refused or not ready the ledger keeps nothing: it is done in parts.
    """
    from featurestore.engines.spark.job_costs import in_group

    if not repair and context.ledger.coverage(view.name, view.version).covers(interval):
        logger.info("%s %s: another run did it meanwhile", view.name, interval)
        return IntervalResult(interval=interval, outcome=ExitCode.NOTHING_TO_DO, steps=0)
    claim = _claim(context, view, interval, inputs, repair=repair)
    clock = _PhaseClock()
    with (
        in_group(context.spark, claim.run_id, f"{view.name} {interval}") as costs,
        recorded_failure(context, claim, steps),
        held_lease(context, claim) as check_lease,
    ):
        reach(FaultPoint.CLAIMED)
        staged, computed, warnings = _prepare(context, view, claim, compute, clock)
        with clock.phase("wait"):
            is_right = confirm()
        if not is_right:
            staged, computed, warnings = _prepare(context, view, claim, compute, clock)
        reach(FaultPoint.GATED)
        check_lease()
        with clock.phase("commit"):
            commit = _commit(context, view, claim, staged, computed)
            reach(FaultPoint.COMMITTED)
            cost = costs.read()
            context.ledger.finish(
                replace(commit, counts={**commit.counts, **cost, "steps": steps}), now=context.clock()
            )
    reach(FaultPoint.RECORDED)
    context.offline.drop_staging(claim.run_id, view)
    rows = commit.counts["rows_appended"]
    logger.info("%s %s: %d rows appended in %.1f s", view.name, interval, rows, sum(clock.seconds.values()))
    return IntervalResult(
        interval=interval,
        outcome=ExitCode.DONE,
        steps=steps,
        rows=rows,
        cost=cost,
        generation=claim.generation,
        seconds=clock.seconds,
        warnings=warnings,
        counts={name: count for name, count in commit.counts.items() if name != "rows_appended"},
    )


def _claim(
    context: RuntimeContext, view: StoredViewNode, interval: Interval, inputs: Mapping[str, Any], *, repair: bool
) -> Claim:
    """Claim the interval, and clear away what runs left in it that did not end."""
    unfinished = _unfinished(context, view, interval)
    claim = context.ledger.claim(
        view.name,
        view.version,
        interval,
        inputs=inputs,
        created=interval.end + view.data_delay,
        owner=context.owner,
        now=context.clock(),
        lease=LEASE,
        repair=repair,
    )
    for run_id in unfinished:
        context.offline.drop_staging(run_id, view)
    return claim


def _rows_after(
    context: RuntimeContext, view: StoredViewNode, staged: DataFrame, computed: ComputedStep[DataFrame]
) -> DataFrame:
    """Give the rows that the interval will have: what stands for keys that the run leaves alone is among them."""
    if computed.keys is None or not any(rule.on == "output" for rule in view.expectations):
        return staged
    standing = context.offline.standing(view, within=computed.event_range).select(*staged.columns)
    others = standing.join(computed.keys, [key.name for key in view.join_keys], "left_anti")
    return staged.unionByName(others)


def _unfinished(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> list[str]:
    """Name the runs in the interval that may have left their staging folder: killed, failed or refused ones."""
    now = context.clock()
    runs = context.ledger.runs(view.name, view.version, interval)
    return [run.run_id for run in runs if run.state is not RunState.DONE and not _is_live(run, now)]


def _is_live(run: RunRecord, now: datetime) -> bool:
    return run.state is RunState.CLAIMED and run.lease_until > now


def _prepare(
    context: RuntimeContext, view: StoredViewNode, claim: Claim, compute: Computation, clock: _PhaseClock
) -> tuple[DataFrame, ComputedStep[DataFrame], tuple[str, ...]]:
    """Compute the run's rows once, into its staging folder, and check them; give the gate's warnings with them."""
    from featurestore.engines.spark.worker_errors import raised_in_worker

    with clock.phase("compute"):
        computed = compute(claim)
        with raised_in_worker():
            staged = context.offline.write_staging(computed.rows, claim.run_id, view)
    reach(FaultPoint.COMPUTED)
    with clock.phase("gate"):
        return staged, computed, _gate(context, view, claim, _rows_after(context, view, staged, computed), computed)


def _gate(
    context: RuntimeContext, view: StoredViewNode, claim: Claim, rows: DataFrame, computed: ComputedStep[DataFrame]
) -> tuple[str, ...]:
    """Check input and output expectations; give the warnings, or raise GateRefused with every failed rule."""
    from featurestore.quality.gate import check

    failures: list[Mapping[str, object]] = []
    warnings: list[str] = []
    report = ""
    checked: tuple[tuple[Literal["input", "output"], DataFrame | None], ...] = (
        ("input", computed.raw),
        ("output", rows),
    )
    for on, frame in checked:
        rules = tuple(rule for rule in view.expectations if rule.on == on)
        if not rules or frame is None:
            continue
        result = check(
            frame,
            rules,
            view=view.name,
            interval=claim.interval,
            on=on,
            report_dir=Path(context.settings.state_path) / "reports",
            key_columns=tuple(key.name for key in view.join_keys),
            run_id=claim.run_id,
        )
        failures += [failure.to_dict() for failure in result.failures]
        warnings += [warning.message for warning in result.warnings]
        if not result.passed or not report:
            report = str(result.report)
    if failures:
        rules_text = "; ".join(str(failure["message"]) for failure in failures)
        raise GateRefused(
            f"{view.name} {claim.interval}: {len(failures)} critical expectation(s) failed: {rules_text}. "
            f"The published table and Redis keep their last good state. Report: {report}",
            failures=failures,
            report=report,
        )
    return tuple(warnings)


def _commit(
    context: RuntimeContext, view: StoredViewNode, claim: Claim, staged: DataFrame, computed: ComputedStep[DataFrame]
) -> CommitRecord:
    """Append the rows that differ from what stands, as one Delta commit that names the run."""
    from pyspark.sql import functions as F

    from featurestore.engines.spark.difference import rows_to_append
    from featurestore.engines.spark.rows import only_keys

    context.offline.ensure_table(view)
    standing = None
    if context.offline.may_hold(view, computed.event_range):
        rows = context.offline.standing(view, within=computed.event_range, include_deleted=True)
        standing = only_keys(view, rows, computed.keys)
    rows = rows_to_append(staged, standing, view=view, created=claim.created)
    computed_at = context.clock()
    rows = rows.withColumn(COMPUTED_AT, F.lit(computed_at))
    commit = CommitRecord(
        run_id=claim.run_id,
        view=view.name,
        version=view.version,
        interval=claim.interval,
        generation=claim.generation,
        fingerprint=view.fingerprint,
        created=claim.created,
        inputs=claim.inputs,
        counts=dict(computed.metrics()),
        computed_at=computed_at,
    )
    return context.offline.append(rows, view, commit, app_id=_app_id(context, view, claim.interval))
