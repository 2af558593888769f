"""Make the ledger again from the Delta logs: no Spark."""

from __future__ import annotations

from featurestore.runtime.context import RuntimeContext
from featurestore.stores.base import LedgerRebuild
from featurestore.stores.delta_log import DeltaLog

__all__ = ["rebuild_ledger"]


def rebuild_ledger(context: RuntimeContext) -> dict[str, LedgerRebuild]:
    """Make each applied view's done runs those that its table's log has; give what changed by view."""
    return {
        view.name: context.ledger.rebuild(
            view.name,
            view.version,
            DeltaLog(context.table_path(view)).commits(),
            now=context.clock(),
        )
        for view in context.manifest.stored_views()
    }
