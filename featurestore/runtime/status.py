"""What is done, what is missing, how fresh each view is, and what its last run failed of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from featurestore.intervals import Interval, show_instant
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.plan.missing import missing_steps
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.readiness import wait_reasons
from featurestore.stores.base import RunState

__all__ = ["missing_intervals", "project_status", "view_status"]


def missing_intervals(context: RuntimeContext, name: str, bounds: Interval) -> tuple[Interval, ...]:
    """Give the steps of a view inside ``bounds`` that are not done."""
    view = context.manifest.stored_view(name)
    return missing_steps(view, context.ledger.coverage(view.name, view.version), bounds)


def project_status(context: RuntimeContext) -> dict[str, Any]:
    """Give ``{"project", "generation", "views": {name: view_status}}``."""
    manifest = context.manifest
    return {
        "project": manifest.project,
        "generation": manifest.generation,
        "views": {view.name: view_status(context, view) for view in manifest.stored_views()},
    }


def view_status(context: RuntimeContext, view: StoredViewNode) -> dict[str, Any]:
    """Give one view's status as JSON values; missing steps are those that have ended by now."""
    now = context.clock()
    coverage = context.ledger.coverage(view.name, view.version)
    runs = context.ledger.runs(view.name, view.version)
    publications = context.ledger.publications(view.name, view.version)
    missing: tuple[Interval, ...] = ()
    if view.start is not None and view.start < now:
        missing = missing_steps(view, coverage, Interval(view.start, now))
    latest = {run.interval: run for run in runs}  # in order of generation: a later one mends an earlier one's failure
    failed = [run for run in latest.values() if run.state in (RunState.REFUSED, RunState.FAILED)]
    last_failed = max(failed, key=lambda run: run.updated_at, default=None)
    age = None if coverage.end is None else now - coverage.end
    return {
        "kind": "feature view" if isinstance(view, ViewNode) else "prediction view",
        "version": view.version,
        "covered": [[show_instant(part.start), show_instant(part.end)] for part in coverage],
        "covered_until": None if coverage.end is None else show_instant(coverage.end),
        "missing_intervals": [[show_instant(part.start), show_instant(part.end)] for part in missing],
        "waits_for": list(wait_reasons(context, view, missing[0])) if missing else [],
        "age_seconds": None if age is None else age.total_seconds(),
        "fresh": None if view.freshness is None else _is_fresh(age, view.freshness),
        "published_until": show_instant(end) if publications and (end := publications[-1].covered_until) else None,
        "rows": sum(run.counts.get("rows_appended", 0) for run in runs if run.state is RunState.DONE),
        "last_error": None if last_failed is None else {**last_failed.error, "interval": str(last_failed.interval)},
    }


def _is_fresh(age: timedelta | None, objective: timedelta) -> bool:
    return age is not None and age <= objective
