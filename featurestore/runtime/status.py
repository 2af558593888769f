"""What is done, what is missing, how fresh each view is, and what its last run failed of."""

from __future__ import annotations

from typing import Any

from featurestore.intervals import Interval, show_instant
from featurestore.ir.nodes import OnDemandViewNode, StoredViewNode, ViewNode
from featurestore.plan.missing import missing_steps
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.failed_runs import standing_failures
from featurestore.runtime.freshness import ViewFreshness, project_freshness
from featurestore.runtime.pending import late_changes
from featurestore.runtime.readiness import wait_reasons
from featurestore.stores.base import RunState

__all__ = ["missing_intervals", "project_status", "view_status"]


def missing_intervals(context: RuntimeContext, name: str, bounds: Interval) -> tuple[Interval, ...]:
    """Give the steps of a view inside ``bounds`` that are not done."""
    view = context.manifest.stored_view(name)
    return missing_steps(view, context.ledger.coverage(view.name, view.version), bounds)


def project_status(context: RuntimeContext) -> dict[str, Any]:
    """Give ``{"project", "generation", "views": {name: view_status}, "written_on_demand_views": {name: …}}``."""
    manifest = context.manifest
    freshness = project_freshness(context)
    return {
        "project": manifest.project,
        "generation": manifest.generation,
        "views": {view.name: view_status(context, view, freshness[view.name]) for view in manifest.stored_views()},
        "written_on_demand_views": {view.name: _written(view) for view in manifest.written_views()},
    }


def _written(view: OnDemandViewNode) -> dict[str, Any]:
    """Say by what the features of an on-demand view are stored, and with which views they are written."""
    return {
        "version": view.version,
        "join_keys": [key.name for key in view.join_keys],
        "written_with": list(dict.fromkeys(ref.view for ref in view.inputs)),
    }


def view_status(context: RuntimeContext, view: StoredViewNode, freshness: ViewFreshness) -> dict[str, Any]:
    """Give one view's status as JSON values; missing steps are those that have ended by now."""
    coverage = context.ledger.coverage(view.name, view.version)
    runs = context.ledger.runs(view.name, view.version)
    last_failed = max(standing_failures(context, view), key=lambda run: run.updated_at, default=None)
    return {
        "kind": "feature view" if isinstance(view, ViewNode) else "prediction view",
        "version": view.version,
        "covered": [[show_instant(part.start), show_instant(part.end)] for part in coverage],
        "waits_for": list(wait_reasons(context, view, freshness.missing[0])) if freshness.missing else [],
        "rows": sum(run.counts.get("rows_appended", 0) for run in runs if run.state is RunState.DONE),
        "last_error": None if last_failed is None else {**last_failed.error, "interval": str(last_failed.interval)},
        "late_changes": [change.to_dict() for change in late_changes(context, view)],
        **freshness.to_dict(),
    }
