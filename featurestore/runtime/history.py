"""The history of a view's table: rows that were replaced longer ago than ``upkeep: history_days`` are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.intervals import show_duration
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import SourceInput, StoredViewNode, ViewNode
from featurestore.plan.pending import pinned_parts, unresolved
from featurestore.plan.readiness import raw_sources
from featurestore.plan.upkeep import Removal
from featurestore.runtime.context import RuntimeContext
from featurestore.stores.base import RunState
from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.history_log import Restatements, restatements, superseded_to_json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["HistoryPlan", "drop_history", "plan_history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPlan:
    """Whether replaced rows of a table are dropped, and which: those that were replaced up to ``until``."""

    removal: Removal
    until: datetime
    found: Restatements


def plan_history(context: RuntimeContext, view: StoredViewNode) -> HistoryPlan | None:
    """Decide from the table's log, the publication marker and the ledger; None where history is kept for ever.

    Nothing is dropped that a publication or a repair of a view that reads this one has not seen: both derive from a
    replaced row what its replacement touches.
    """
    days = context.settings.upkeep.history_days
    if days is None:
        return None
    history = timedelta(days=days)
    until = context.clock() - history
    found = restatements(context.table_path(view), until, every_commit=_has_created_times(context, view))
    age = f"more than {show_duration(history)} ago"
    if not found.commits:
        reason = f"no row was replaced {age}, or it was looked at since"
        return HistoryPlan(removal=Removal(pays=False, rows=0, reason=reason), until=until, found=found)
    about = f"at most {found.rows} rows were replaced {age}, by {found.commits} commits"
    holds = [*_unpublished(context, view), *_unseen(context, view, found)]
    reason = "; ".join([about, *holds])
    return HistoryPlan(removal=Removal(pays=not holds, rows=found.rows, reason=reason), until=until, found=found)


def drop_history(context: RuntimeContext, view: StoredViewNode) -> int | None:
    """Drop what the plan says now, by one commit; give how many rows, None where runs appended first each time.

    Rows that are appended beside it replace nothing yet: which rows go is read from the version of the plan.
    """
    from pyspark.sql import functions as F

    from featurestore.engines.spark.superseded import superseded_rows
    from featurestore.stores.delta_removal import ROWS, TABLE, remove_rows

    plan = plan_history(context, view)
    if plan is None or not plan.removal.pays:
        return 0
    path, found, until = context.table_path(view), plan.found, plan.until

    def superseded(session: SparkSession) -> DataFrame:
        rows = session.read.format("delta").option("versionAsOf", found.delta_version).load(path)
        if found.times is not None:
            rows = rows.where(F.col(EVENT_TIMESTAMP).between(F.lit(found.times.start), F.lit(found.times.end)))
        return superseded_rows(rows, view, until=until)

    within = F.col(f"{TABLE}.{CREATED_TIMESTAMP}") < F.lit(until)
    if found.times is not None:
        at = F.col(f"{TABLE}.{EVENT_TIMESTAMP}")
        within = within & at.between(F.lit(found.times.start), F.lit(found.times.end))
    identity = [*(quote(key.name) for key in view.join_keys), EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    same = [F.col(f"{TABLE}.{name}") == F.col(f"{ROWS}.{name}") for name in identity]
    return remove_rows(
        context.spark,
        path,
        superseded,
        matched_by=reduce(and_, same),
        within=within,
        metadata=superseded_to_json(until),
    )


def _has_created_times(context: RuntimeContext, view: StoredViewNode) -> bool:
    """Say whether one computation may give several statements of an event time: the source says when each was made.

    A version that is not applied any more may have sources that are gone: then it may.
    """
    if not isinstance(view, ViewNode) or view.is_aggregate:
        return False
    named = {entry.source for entry in view.inputs if isinstance(entry, SourceInput)}
    if not named <= context.manifest.sources.keys():
        return True
    return any(source.created_timestamp_column is not None for source in raw_sources(context.manifest, view))


def _unpublished(context: RuntimeContext, view: StoredViewNode) -> Iterator[str]:
    project_id = context.online.project_id(context.settings.project)
    stored = context.online.read([marker_key(project_id, view.storage_id)])[0]
    if stored is None:
        return
    rows = DeltaLog(context.table_path(view)).rows_after(Marker.from_bytes(stored).delta_version)
    if rows:
        yield f"but {rows} rows wait for publication: publish {view.name} first"


def _unseen(context: RuntimeContext, view: StoredViewNode, found: Restatements) -> Iterator[str]:
    """Name the views that have steps from before a replacement: a repair of theirs reads what stood then."""
    for child in context.manifest.views.values():
        if view.name not in context.manifest.parents(child):
            continue
        runs = [run for run in context.ledger.runs(child.name, child.version) if run.state is RunState.DONE]
        check = context.input_checks.last(child.name, child.version)
        parts = pinned_parts(runs, check.checked, check.inputs, check.delta_version)
        states = [part.inputs.get("views", {}).get(view.name) or {} for part in parts]
        late = [change.since for change in unresolved(check.pending, runs) if change.touched.input == view.name]
        pins = [state["delta_version"] for state in (*states, *late) if state.get("version") == view.version]
        if any(pin is not None and pin < found.newest for pin in pins):
            yield f"but {child.name} has not taken in all of them: run or `featurestore repair {child.name}` first"
