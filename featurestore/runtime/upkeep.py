"""Upkeep of the offline store: small files are merged, obsolete ones deleted, older tables' properties renewed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from featurestore.errors import ExitCode, FeatureStoreError, RunFailed
from featurestore.plan.upkeep import TableState, UpkeepPolicy, UpkeepStep, plan_table
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.failures import first_line, foreign_errors
from featurestore.runtime.faults import FaultPoint, reach
from featurestore.runtime.history import drop_history, plan_history
from featurestore.runtime.pace import Progress, silent
from featurestore.runtime.results import JobResult, UpkeepResult, ViewResult, describe_error
from featurestore.runtime.served import append_served
from featurestore.runtime.upkeep_tables import UpkeepTable, claim_holds, marker_holds, upkeep_tables
from featurestore.settings import UpkeepSettings
from featurestore.stores.delta_files import DeltaFiles
from featurestore.stores.tile_log import TileLog

__all__ = ["plan_upkeep", "upkeep_policy", "upkeep_views"]

logger = logging.getLogger(__name__)

_APPEND_ONLY = "delta.appendOnly"
_RETENTION = "delta.deletedFileRetentionDuration"
_DELTAS_OWN_RETENTION = "interval 7 days"
"""What a table without the property has."""


def upkeep_views(
    context: RuntimeContext,
    views: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> JobResult:
    """Keep up the tables of views (all by default), or with ``dry_run`` say what would be done and why.

    What lookups landed of the predictions that they served is appended to its table first.
    Starts Spark only where something is to be done. Runs and publications go on meanwhile: no row changes, and none is
    sent again. Killed anywhere, a second one goes on. A table that cannot be kept up fails its view, not the others.
    """
    started = time.monotonic()
    names = [view.name for view in context.manifest.stored_views()]
    chosen = names if views is None else sorted({context.manifest.stored_view(name).name for name in views})
    tables = upkeep_tables(context)
    results = []
    for number, name in enumerate(chosen, 1):
        progress(number, len(chosen), f"keep up {name}")
        results.append(_keep_up(context, name, tables.get(name, ()), dry_run=dry_run))
    return JobResult(views=tuple(results), seconds={"stages": time.monotonic() - started})


def upkeep_policy(settings: UpkeepSettings) -> UpkeepPolicy:
    return UpkeepPolicy(
        target_file_bytes=settings.target_file_mb << 20,
        min_small_files=settings.min_small_files,
        retention=timedelta(days=settings.retention_days),
    )


def _keep_up(context: RuntimeContext, name: str, tables: Iterable[UpkeepTable], *, dry_run: bool) -> ViewResult:
    started = time.monotonic()
    done: list[UpkeepResult] = []
    errors: list[FeatureStoreError] = []
    served = 0
    if not dry_run:
        with _collected(errors, f"the log of {name}", view=name):
            served = append_served(context, name).get(name, 0)
    for table in tables:
        with _collected(errors, f"upkeep of {table.name}", view=name):
            step = plan_upkeep(context, table)
            is_done = step.is_due and not dry_run
            done.append(_carry_out(context, table, step) if is_done else UpkeepResult(step=step, is_dry_run=True))
    error = errors[0] if errors else None
    is_due = bool(served) or any(result.step.is_due for result in done)
    outcome = error.exit_code if error else ExitCode.DONE if is_due else ExitCode.NOTHING_TO_DO
    return ViewResult(
        view=name,
        outcome=outcome,
        upkeep=tuple(done),
        served_rows=served,
        error=describe_error(error) if error else None,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _collected(errors: list[FeatureStoreError], what: str, *, view: str) -> Iterator[None]:
    """Note the error that ends the block, and go on."""
    try:
        yield
    except FeatureStoreError as failure:
        errors.append(failure)
    except foreign_errors() as failure:
        logger.exception("%s failed", what)
        errors.append(RunFailed(f"{what}: {type(failure).__name__}: {first_line(failure)}", view=view))


def plan_upkeep(context: RuntimeContext, table: UpkeepTable) -> UpkeepStep:
    """Decide what a table needs, from its log, the publication marker and the ledger; starts no Spark job."""
    policy = upkeep_policy(context.settings.upkeep)
    files, now = DeltaFiles(table.path), context.clock()
    wanted = {**table.properties, _RETENTION: f"interval {policy.retention.days} days"}
    history = None if table.node is None else plan_history(context, table.node)
    if history is not None:
        wanted |= {_APPEND_ONLY: "false"}
    found = {_RETENTION: _DELTAS_OWN_RETENTION, **files.properties}
    state = TableState(
        delta_version=files.version,
        folders=files.folders(),
        obsolete=files.obsolete(policy.retention),
        stale_properties={name: value for name, value in wanted.items() if found.get(name) != value},
        clusters_anew=bool(table.clustered_by) and not files.is_clustered,
        tiles=TileLog.read(table.path).obsolete() if table.has_tiles else None,
    )
    holds = list(claim_holds(context, table, now=now)) if state.obsolete else []
    if table.node is not None and state.obsolete:
        holds += marker_holds(context, table.node, files)
    step = plan_table(table.name, state, policy, holds, now=now)
    return step if history is None else replace(step, removal=history.removal)


def _carry_out(context: RuntimeContext, table: UpkeepTable, step: UpkeepStep) -> UpkeepResult:
    from featurestore.stores.delta_upkeep import Compacted, cluster, compact, set_properties, vacuum

    if step.properties:
        set_properties(context.spark, table.path, step.properties)
    if step.clusters_anew:
        cluster(context.spark, table.path, table.clustered_by)
    # First what was planned is deleted; what the compaction replaces now is nothing that was asked about.
    if step.vacuum.pays:
        vacuum(context.spark, table.path, retention=step.vacuum.retention)
    removed = _remove(context, table) if step.removal is not None and step.removal.pays else 0
    compacted = Compacted()
    if step.compaction.pays:
        target = upkeep_policy(context.settings.upkeep).target_file_bytes
        compacted = compact(context.spark, table.path, target_file_bytes=target)
    reach(FaultPoint.COMPACTED)
    logger.info(
        "%s: %d rows deleted, %d files became %d, %d obsolete files deleted",
        table.name,
        removed,
        compacted.removed,
        compacted.added,
        step.vacuum.files if step.vacuum.pays else 0,
    )
    return UpkeepResult(
        step=step,
        rows_removed=removed,
        files_removed=compacted.removed,
        files_added=compacted.added,
        bytes_written=compacted.bytes_written,
        files_deleted=step.vacuum.files if step.vacuum.pays else 0,
    )


def _remove(context: RuntimeContext, table: UpkeepTable) -> int:
    """Delete the rows of a table that count no more; give how many."""
    from featurestore.stores.delta_tile_upkeep import clear_tiles

    node = table.node
    removed = clear_tiles(context.spark, table.path) if node is None else drop_history(context, node)
    if removed is None:
        logger.warning("%s is appended to without a pause; the next upkeep deletes what counts no more", table.name)
    reach(FaultPoint.REMOVED)
    return removed or 0
