"""As-of lookups in Spark: the point-in-time join of a spine, and a view's state at one instant.

The join is one sorted pass: the spine and the statements of all views with the same key columns are unioned, hashed
by key, sorted by instant, and each spine row takes the last statement of each view before it. Nothing runs in Python,
so every type passes through as it is, and a key of any size spills instead of filling memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from featurestore.engines.spark.spine_keys import key_column, time_column
from featurestore.engines.spark.statements import HistoricalLookup, Statements, statements
from featurestore.errors import FeatureNameCollision
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.ddl import quote

__all__ = ["EXPIRES", "IS_CURRENT", "ROW", "HistoricalLookup", "point_in_time_join", "snapshot", "with_row_numbers"]

ROW = "_row"
"""The spine's row number: what restores the input's order."""
IS_CURRENT = "_is_current"
"""Of a snapshot: whether the key's newest row is not expired."""
EXPIRES = "_expires"
"""Of a snapshot: the last instant at which that row may be used, null for ever."""


def with_row_numbers(spine: pa.Table) -> pa.Table:
    """Append ``_row`` (0, 1, …), and cut instants to whole microseconds, for Spark takes no finer ones."""
    for number, column in enumerate(spine.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            cut = spine.column(number).cast(pa.timestamp("us", column.type.tz), safe=False)
            spine = spine.set_column(number, column.name, cut)
    return spine.append_column(ROW, pa.array(np.arange(len(spine), dtype=np.int64)))


def point_in_time_join(
    spine: DataFrame, lookups: Sequence[HistoricalLookup], *, timestamp_column: str = EVENT_TIMESTAMP
) -> DataFrame:
    """Give each spine row once, with all its columns, ``_row`` and the features as they were at its instant.

    Rows come in any order; sort by ``_row`` for the spine's. A key that is null or unknown, and an instant before the
    first row or after the newest one expired, give nulls. One shuffle of the spine for each set of key columns.
    """
    _refuse_collisions(spine, lookups)
    if ROW not in spine.columns:
        spine = spine.withColumn(ROW, F.monotonically_increasing_id())
    groups: dict[tuple[str, ...], list[HistoricalLookup]] = {}
    for lookup in lookups:
        groups.setdefault(lookup.columns, []).append(lookup)
    joined = reduce(lambda frame, group: _join_group(frame, group, timestamp_column), groups.values(), spine)
    outputs = [name for lookup in lookups for name in _output_names(lookup)]
    return joined.select(*map(quote, [*spine.columns, *outputs]))


def snapshot(lookup: HistoricalLookup, at: Column) -> DataFrame:
    """Give the view as it was at one instant: a row for each key, under the spine's names, with IS_CURRENT and EXPIRES.

    Features of an expired row are null; its header is there.
    """
    said = statements(lookup)
    rows = said.frame.where(F.col("at") <= at)
    if lookup.is_revisable:
        rows = rows.where(F.col("row.until").isNull() | (F.col("row.until") > at))
    newest = rows.groupBy(*said.keys).agg(F.max_by("row", F.struct("row.event", "row.created")).alias("row"))
    keys = [F.col(key).alias(name) for key, name in zip(said.keys, lookup.columns, strict=True)]
    row = F.col("row")
    state = [_is_usable(row, at).alias(IS_CURRENT), row["expires"].alias(EXPIRES)]
    return newest.select(*keys, *state, *_outputs(lookup, row, at))


def _join_group(spine: DataFrame, lookups: Sequence[HistoricalLookup], timestamp_column: str) -> DataFrame:
    first = lookups[0]
    keys = [
        key_column(spine, name, key, row=ROW).alias(f"k{number}")
        for number, (name, key) in enumerate(zip(first.columns, first.view.join_keys, strict=True))
    ]
    sides = [spine.select(*keys, time_column(spine, timestamp_column).alias("at"), F.struct("*").alias("spine"))]
    prepared = [statements(lookup) for lookup in lookups]
    sides += [said.frame.withColumnRenamed("row", f"row{number}") for number, said in enumerate(prepared)]
    union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), sides)
    before = _before(prepared[0], len(lookups))
    found = [_found(number, lookup, before) for number, lookup in enumerate(lookups)]
    answered = union.select("spine", "at", *found).where(F.col("spine").isNotNull())
    outputs = [
        output
        for number, lookup in enumerate(lookups)
        for output in _outputs(lookup, F.col(f"found{number}"), F.col("at"))
    ]
    return answered.select("spine.*", *outputs)


def _before(said: Statements, lookups: int) -> WindowSpec:
    """Order by instant, statements before the spine's rows of the same instant, older events first."""
    events = F.coalesce(*(F.col(f"row{number}.event") for number in range(lookups)))
    order = [F.col("at").asc_nulls_first(), F.col("spine").isNotNull(), events]
    return Window.partitionBy(*said.keys).orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow)


def _found(number: int, lookup: HistoricalLookup, before: WindowSpec) -> Column:
    row = F.col(f"row{number}")
    if not lookup.is_revisable:
        return F.last(row, ignorenulls=True).over(before).alias(f"found{number}")
    newest = F.max_by(row, F.when(row.isNotNull(), F.struct(row["event"], row["created"]))).over(before)
    known = F.filter(
        F.collect_list(F.when(row["revised"], row)).over(before),
        lambda said: said["until"].isNull() | (said["until"] > F.col("at")),
    )
    places = F.transform(known, lambda said, place: F.struct(said["event"], said["created"], place.alias("place")))
    standing = F.get(known, F.array_max(places)["place"])
    return F.when(newest["revised"], standing).otherwise(newest).alias(f"found{number}")


def _is_usable(row: Column, at: Column) -> Column:
    return row.isNotNull() & (row["expires"].isNull() | (at <= row["expires"]))


def _outputs(lookup: HistoricalLookup, row: Column, at: Column) -> list[Column]:
    usable = _is_usable(row, at)
    outputs = [F.when(usable, row[f"f{number}"]).alias(output) for number, (_, output) in enumerate(lookup.features)]
    if lookup.header is not None:
        times = F.struct(row["header_event"].alias("event_timestamp"), row["created"].alias("created_timestamp"))
        outputs.append(F.when(row.isNotNull(), times).alias(lookup.header))
    return outputs


def _output_names(lookup: HistoricalLookup) -> list[str]:
    names = [output for _, output in lookup.features]
    return names if lookup.header is None else [*names, lookup.header]


def _refuse_collisions(spine: DataFrame, lookups: Sequence[HistoricalLookup]) -> None:
    owners = dict.fromkeys(spine.columns, "the spine")
    for lookup in lookups:
        for name in _output_names(lookup):
            if name in owners:
                raise FeatureNameCollision(
                    f"column {name!r} comes from view {lookup.view.name!r} and from {owners[name]}; ask with "
                    "full_feature_names=True, or rename the spine's column",
                    name=name,
                )
            owners[name] = f"view {lookup.view.name!r}"
