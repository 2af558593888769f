"""Repair: the covered steps that changed inputs touch are computed again, for the touched keys alone.

As far back as ``late_data`` reaches; what is older is kept with the view's input check, for ``status`` and ``repair``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from featurestore.engines.base import ComputedStep, ComputeRequest, SourcePin
from featurestore.errors import InputNotReady
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import ViewNode
from featurestore.plan.late_data import (
    Reach,
    Repair,
    Touched,
    affected,
    horizon_of,
    oldest_read,
    plan_repairs,
    split_at,
)
from featurestore.plan.pending import TOUCHED_KEYS, PendingChange, keep_pending, pinned_parts, unresolved
from featurestore.plan.stages import RepairStage
from featurestore.runtime.changes import InputChange, changed_inputs, changed_rows, touched_keys, touched_times
from featurestore.runtime.code import code_of, ship_code
from featurestore.runtime.compute import compute_rows, pin_sources, pinned_inputs
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.faults import FaultPoint, reach
from featurestore.runtime.results import IntervalResult
from featurestore.runtime.run import run_interval
from featurestore.stores.base import Claim, RunRecord, RunState
from featurestore.stores.input_checks import InputCheck

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["repair_view"]

logger = logging.getLogger(__name__)

_MANY = 10**9


@dataclass(slots=True)
class _Search:
    """What was found so far: due touches, and for each its changed rows; older changes, counted."""

    present: Mapping[str, Any]
    coverage: Coverage
    horizon: datetime | None
    delta_version: int
    due: list[tuple[Touched, Reach, Interval | None]] = field(default_factory=list)
    rows: dict[Touched, list[tuple[InputChange, DataFrame]]] = field(default_factory=dict)
    older: list[PendingChange] = field(default_factory=list)


def repair_view(context: RuntimeContext, stage: RepairStage) -> list[IntervalResult]:
    """Bring the covered steps up to the present state of the inputs, and record that they are.

    A crash anywhere, then the same call, gives the same rows: until the check is recorded, the changes are found again,
    and computing them again appends nothing. Nothing changed: no Spark job. A source that is gone is no change.
    """
    view = context.manifest.views[stage.view]
    runs = [r for r in context.ledger.runs(view.name, view.version) if r.state is RunState.DONE]
    coverage = Coverage.of(run.interval for run in runs)
    if not coverage or context.manifest.is_push_fed(view):
        return []
    try:
        pins = pin_sources(context, view)
    except InputNotReady as error:
        logger.info("%s: not compared with its inputs: %s", view.name, error)
        return []
    last = context.input_checks.last(view.name, view.version)
    search = _Search(
        present=pinned_inputs(context, view, pins),
        coverage=coverage,
        horizon=None if stage.everything else horizon_of(view, coverage),
        delta_version=max([last.delta_version, *(run.delta_version or 0 for run in runs)]),
    )
    pending = unresolved(last.pending, runs)
    parts = pinned_parts(runs, last.checked, last.inputs, last.delta_version)
    for part in parts:
        for change in changed_inputs(context, view, part.inputs, search.present):
            _look_at(context, view, change, part.coverage, search)
    if stage.everything:
        for older in pending:
            _take_up(context, view, older, search)
        pending = ()
    reach(FaultPoint.COMPARED)
    results = [_compute(context, view, repair, runs, pins, search) for repair in _repairs(view, runs, search)]
    pending = keep_pending(pending, search.older)
    if pending != last.pending or any(part.inputs != search.present for part in parts):
        _record(context, view, last, pending, search)
    reach(FaultPoint.CHECKED)
    return results


def _look_at(context: RuntimeContext, view: ViewNode, change: InputChange, part: Coverage, search: _Search) -> None:
    """Sort the times that one change touched into those that are due and those that are older."""
    end, known = search.coverage.stretches[-1].end, change.files.times
    if change.reach is not Reach.EVERYTHING and known is not None and (known.is_empty or known.start > end):
        return  # no covered step reads them, as statistics say without a Spark job
    rows = changed_rows(context, view, change, search.present)
    if rows is None:
        times = None if change.reach is Reach.EVERYTHING else Interval(oldest_read(view, search.coverage), end)
        why = change.files.unknown or ""
        found = [Touched(input=change.name, times=times, keys_known=False, reason=why)]
    else:
        found = touched_times(context, view, change, rows, until=end, horizon=search.horizon)
    older: list[Touched] = []
    for touched in found:
        span = affected(view, change.reach, touched.times)
        if not any(stretch.intersect(span) for stretch in part):
            continue
        before, due = (None, touched) if search.horizon is None else split_at(touched, search.horizon)
        if due is not None:
            search.due.append((due, change.reach, _recent(view, search) if touched.times is None else None))
            if rows is not None:
                search.rows.setdefault(due, []).append((change, rows))
        if before is not None:
            older.append(before)
    search.older += _counted(view, change, older, search)


def _counted(view: ViewNode, change: InputChange, older: Sequence[Touched], search: _Search) -> Iterator[PendingChange]:
    """Put touched times together whose steps overlap; say how many steps depend on them."""
    recent = _recent(view, search) if any(one.times is None for one in older) else None
    within = None if recent is None else Interval(search.coverage.stretches[0].start, recent.start)
    touched = [(one, change.reach) for one in older]
    for repair in plan_repairs(view, search.coverage, touched, within=within, runs=[], most_steps=_MANY):
        times = [one.times for one in repair.touched if one.times is not None]
        rows = [one.rows for one in repair.touched]
        yield PendingChange(
            touched=replace(
                repair.touched[0],
                times=Interval(min(t.start for t in times), max(t.end for t in times)) if times else None,
                rows=None if None in rows else sum(count for count in rows if count is not None),
            ),
            since=change.since,
            affected=repair.interval,
            steps=_steps_in(view, repair.interval),
            delta_version=search.delta_version,
        )


def _take_up(context: RuntimeContext, view: ViewNode, pending: PendingChange, search: _Search) -> None:
    """Make a change that was left before due; where its rows cannot be read any more, for all keys."""
    name = pending.touched.input
    kind = "views" if name in context.manifest.parents(view) else "sources"
    since = {kind: {name: pending.since}}
    changes = [one for one in changed_inputs(context, view, since, search.present) if one.name == name]
    reach = Reach.EVENTS if not changes else changes[0].reach
    touched = pending.touched
    if changes and touched.keys_known:
        rows = changed_rows(context, view, changes[0], search.present)
        if rows is None:
            touched = replace(touched, keys_known=False, reason=changes[0].files.unknown or "")
        else:
            search.rows.setdefault(touched, []).append((changes[0], rows))
    elif not changes and touched.keys_known:
        return  # the input is back in the state that the steps were computed from
    search.due.append((touched, reach, pending.affected))


def _repairs(view: ViewNode, runs: Sequence[RunRecord], search: _Search) -> list[Repair]:
    intervals = sorted({run.interval for run in runs})
    found: list[Repair] = []
    for bound in dict.fromkeys(within for _, _, within in search.due):
        touched = [(one, how) for one, how, within in search.due if within == bound]
        found += plan_repairs(view, search.coverage, touched, within=bound, runs=intervals)
    return found


def _compute(
    context: RuntimeContext,
    view: ViewNode,
    repair: Repair,
    runs: Sequence[RunRecord],
    pins: Mapping[str, SourcePin],
    search: _Search,
) -> IntervalResult:
    ship_code(context, code_of(view, context.manifest))
    keys = None if repair.whole else _keys(context, view, repair, search)
    about = "all keys" if keys is None else "the touched keys"
    logger.info("%s %s: inputs changed, computed again for %s", view.name, repair.interval, about)

    def compute(claim: Claim) -> ComputedStep[DataFrame]:
        request: ComputeRequest[DataFrame] = ComputeRequest(
            view=view,
            interval=repair.interval,
            first=repair.first,
            created=claim.created,
            pins=pins,
            restated=True,
            keys=keys,
        )
        return compute_rows(context, request)

    inputs = {**search.present} if keys is None else {**search.present, **TOUCHED_KEYS}
    try:
        return run_interval(context, view, repair.interval, inputs=inputs, compute=compute, repair=True)
    finally:
        if keys is not None:
            keys.unpersist()


def _keys(context: RuntimeContext, view: ViewNode, repair: Repair, search: _Search) -> DataFrame:
    times: dict[int, tuple[InputChange, DataFrame, list[Interval]]] = {}
    for touched in repair.touched:
        for change, rows in search.rows.get(touched, []):
            assert touched.times is not None, "a dimension's change touches all keys"
            times.setdefault(id(rows), (change, rows, []))[2].append(touched.times)
    return touched_keys(context, view, times.values()).persist()


def _record(
    context: RuntimeContext, view: ViewNode, last: InputCheck, pending: tuple[PendingChange, ...], search: _Search
) -> None:
    check = InputCheck(
        view=view.name,
        version=view.version,
        number=last.number + 1,
        delta_version=search.delta_version,
        inputs=search.present,
        checked=search.coverage,
        pending=pending,
    )
    if not context.input_checks.record(check, now=context.clock()):
        logger.info("%s: another process compared it meanwhile; its check stands", view.name)


def _recent(view: ViewNode, search: _Search) -> Interval | None:
    """Give the steps that a dimension's change is due for; None for all."""
    if search.horizon is None:
        return None
    start = search.horizon if view.schedule is None else view.schedule.floor(search.horizon)
    end = search.coverage.stretches[-1].end
    return Interval(max(start, search.coverage.stretches[0].start), end)


def _steps_in(view: ViewNode, interval: Interval) -> int:
    return 1 if view.schedule is None else sum(1 for _ in view.schedule.steps(interval))
