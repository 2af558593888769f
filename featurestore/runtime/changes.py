"""What changed in a view's inputs since its rows were computed: from logs and listings first, then by one Spark job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from featurestore.engines.base import SourcePin
from featurestore.engines.changed_files import FileChanges, changed_files, changed_table_files
from featurestore.intervals import Interval, from_micros
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import StoredViewNode, ViewInputNode, ViewNode
from featurestore.ir.schedule import PeriodSchedule
from featurestore.plan.late_data import Reach, Touched, reach_of
from featurestore.plan.readiness import raw_sources
from featurestore.runtime.context import RuntimeContext
from featurestore.stores.history_log import drops_superseded

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["InputChange", "changed_inputs", "changed_rows", "touched_keys", "touched_times"]

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_MOST_RANGES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class InputChange:
    """One input of a view that is not in the state ``since`` any more, and what is known of it without Spark."""

    name: str
    reach: Reach
    since: Mapping[str, Any]
    files: FileChanges


def changed_inputs(
    context: RuntimeContext, view: ViewNode, recorded: Mapping[str, Any], present: Mapping[str, Any]
) -> Iterator[InputChange]:
    """Compare the recorded state of a view's inputs with the present one; no Spark job, no data is read."""
    for source in raw_sources(context.manifest, view):
        old, new = (inputs.get("sources", {}).get(source.name) for inputs in (recorded, present))
        if old == new or new is None:
            continue
        if old is None:
            files = FileChanges(unknown="its state was not recorded")
        else:
            before, after = _pin(source.name, old), _pin(source.name, new)
            path = _location(context, source)
            files = changed_files(source, before, after, resolve=context.settings.absolute, table_path=path)
        if not files.is_empty:
            reach = reach_of(context.manifest, view, source.name)
            yield InputChange(name=source.name, reach=reach, since=old or {}, files=files)
    for name in context.manifest.parents(view):
        old, new = (inputs.get("views", {}).get(name) for inputs in (recorded, present))
        if old == new or new is None or new["delta_version"] is None:
            continue
        files = _parent_files(context, context.manifest.stored_view(name), old or {}, new)
        if not files.is_empty:
            yield InputChange(name=name, reach=reach_of(context.manifest, view, name), since=old or {}, files=files)


def _parent_files(
    context: RuntimeContext, parent: StoredViewNode, old: Mapping[str, Any], new: Mapping[str, Any]
) -> FileChanges:
    if old.get("delta_version") is None or old["version"] != new["version"]:
        return FileChanges(unknown="its state was not recorded")
    before, after = ({"version": state["delta_version"]} for state in (old, new))
    path = context.table_path(parent)
    files = changed_table_files(path, before, after, EVENT_TIMESTAMP, is_no_change=drops_superseded)
    if not files.is_empty and files.unknown is None and not files.has_feed:
        return FileChanges(unknown="its change data feed does not reach back")
    return files


def _location(context: RuntimeContext, source: Any) -> str | None:
    from featurestore.engines.spark.changes import table_location as catalogue_location

    return None if getattr(source, "table", None) is None else catalogue_location(context.spark, source)


def _pin(name: str, state: Mapping[str, Any]) -> SourcePin:
    return SourcePin(source=name, kind="delta" if "version" in state else "files", state=state)


def changed_rows(
    context: RuntimeContext, view: ViewNode, change: InputChange, present: Mapping[str, Any]
) -> DataFrame | None:
    """Give the rows that came or went, lazily, with the columns that the view reads; None where they are unknown."""
    from featurestore.engines.spark.changes import source_changes

    if change.files.unknown is not None:
        return None
    for source in raw_sources(context.manifest, view):
        if source.name == change.name:
            before, after = (_pin(source.name, state) for state in (change.since, present["sources"][source.name]))
            return source_changes(context.spark, source, before, after, resolve=context.settings.absolute).rows
    return _parent_rows(context, view, change, present["views"][change.name]["delta_version"])


def _parent_rows(context: RuntimeContext, view: ViewNode, change: InputChange, up_to: int) -> DataFrame:
    """Give the parent's rows at the (key, event time)s of which rows were appended: what stands and what stood.

    All statements are taken, so that a value that a row had before is among them.
    """
    from pyspark.sql import DataFrame

    from featurestore.engines.spark.inputs import parent_input

    parent = context.manifest.stored_view(change.name)
    identity = [*(key.name for key in parent.join_keys), EVENT_TIMESTAMP]
    appended = context.offline.appended(parent, change.since["delta_version"], up_to)
    rows = context.offline.rows(parent).join(appended.select(*map(quote, identity)).distinct(), identity, "left_semi")
    columns = [*identity, *(feature.name for feature in parent.features)]
    entries = [entry for entry in view.inputs if isinstance(entry, ViewInputNode) and entry.view == parent.name]
    frames = [parent_input(entry, rows.select(*map(quote, columns))).frame for entry in entries]
    wanted = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP]
    return reduce(DataFrame.unionByName, [_only(frame, wanted) for frame in frames])


def _only(frame: DataFrame, wanted: Sequence[str]) -> DataFrame:
    found = {name.lower() for name in frame.columns}
    return frame.select(*(quote(name) for name in wanted if name.lower() in found))


def touched_times(
    context: RuntimeContext,
    view: ViewNode,
    change: InputChange,
    rows: DataFrame,
    *,
    until: datetime,
    horizon: datetime | None,
) -> list[Touched]:
    """Find the event times of changed rows up to ``until``, none of them on both sides of ``horizon``.

    One Spark job over the changed rows.
    """
    if change.reach is Reach.EVERYTHING:
        return [] if rows.isEmpty() else [Touched(input=change.name, times=None)]
    from pyspark.sql import functions as F

    at = F.col(quote(_timestamp(context, view, change.name)))
    micros = F.unix_micros(at)
    width = (view.schedule.period if isinstance(view.schedule, PeriodSchedule) else _HOUR) // _MICROSECOND
    known = rows.where(at <= F.lit(until))
    own = {name.lower() for name in rows.columns}
    for key in view.join_keys:
        if key.name.lower() in own:
            known = known.where(F.col(quote(key.name)).isNotNull())
    side = F.lit(True) if horizon is None else at >= F.lit(horizon)
    found = known.groupBy((micros - F.pmod(micros, F.lit(width))).alias("bucket"), side.alias("side")).agg(
        F.min(micros).alias("least"), F.max(micros).alias("greatest"), F.count(F.lit(1)).alias("rows")
    )
    return [
        Touched(
            input=change.name,
            times=Interval(from_micros(row["least"]), from_micros(row["greatest"] + 1)),
            rows=row["rows"],
        )
        for row in sorted(found.collect(), key=lambda row: row["least"])
    ]


def touched_keys(
    context: RuntimeContext, view: ViewNode, parts: Iterable[tuple[InputChange, DataFrame, Sequence[Interval]]]
) -> DataFrame:
    """Give the distinct join keys of the changed rows in the given event times."""
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    from featurestore.engines.spark.rows import keys_of

    frames = []
    for change, rows, times in parts:
        at = F.col(quote(_timestamp(context, view, change.name)))
        ranges = times if len(times) <= _MOST_RANGES else [Interval(times[0].start, times[-1].end)]
        inside: list[Column] = [(at >= F.lit(one.start)) & (at < F.lit(one.end)) for one in ranges]
        frames.append(keys_of(view, rows.where(reduce(lambda left, right: left | right, inside))))
    return reduce(DataFrame.unionByName, frames).distinct()


def _timestamp(context: RuntimeContext, view: ViewNode, name: str) -> str:
    for source in raw_sources(context.manifest, view):
        if source.name == name:
            return source.timestamp_field or ""
    return EVENT_TIMESTAMP
