"""Events to tiles: one row for each key and stretch of ``hop`` microseconds that has events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from croniter import croniter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.spark.aggregations import AT, TILE, VALUE_FUNCTIONS, Lowering, cell, lower
from featurestore.ir.nodes import AggregationNode, Aggregations, ViewNode
from featurestore.ir.schedule import CronSchedule, PeriodSchedule, ScheduleNode
from featurestore.spec.aggregation import AggregationFunction as Function

__all__ = ["COUNT", "LAST", "VALUE", "Events", "build_tiles", "build_value_tiles", "hop_micros", "read_events"]

VALUE, COUNT, LAST = "__value", "__count", "__last"
"""Columns of value tiles: the value, how often it occurs in the tile, and when it was last seen."""

_MICROSECOND = timedelta(microseconds=1)
_MINUTES = timedelta(minutes=1) // _MICROSECOND
_DAY = timedelta(days=1) // _MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """``rows``: keys, TILE, AT and one column for each (column, where) that is aggregated, named by ``inputs``."""

    rows: DataFrame
    keys: tuple[str, ...]
    inputs: Mapping[tuple[str | None, str | None], str]

    def value_of(self, item: AggregationNode) -> str:
        return self.inputs[item.column, item.where]

    def counted(self, item: AggregationNode) -> tuple[str, str]:
        """Name what a function of ``VALUE_FUNCTIONS`` counts: functions with one name share their tiles."""
        own_cells = item.function in (Function.APPROX_COUNT_DISTINCT, Function.APPROX_PERCENTILE)
        return self.value_of(item), item.function if own_cells else "value"

    def cell(self, item: AggregationNode) -> Column:
        value = self.value_of(item)
        return cell(item.function, value, self.rows.schema[value].dataType)

    def lowering(self, item: AggregationNode) -> Lowering:
        value = self.value_of(item)
        return lower(item, value, self.rows.schema[value].dataType)


def hop_micros(view: ViewNode) -> int:
    """Give the tile length: the greatest that divides all windows and the grid of step ends, from the definition alone.

    Tiles are anchored at the epoch, so a tile is the same whatever run reads it.
    """
    assert isinstance(view.transformation, Aggregations)
    windows = [item.window // _MICROSECOND for item in view.transformation.items if item.window is not None]
    return math.gcd(_grid_micros(view.schedule), *windows)


def _grid_micros(schedule: ScheduleNode | None) -> int:
    match schedule:
        case PeriodSchedule(period=period):
            return period // _MICROSECOND
        case CronSchedule(expression=expression):
            minutes, hours = croniter.expand(expression)[0][:2]
            return math.gcd(
                _DAY,
                *(
                    (hour * 60 + minute) * _MINUTES
                    for hour in (range(24) if "*" in hours else map(int, hours))
                    for minute in (range(60) if "*" in minutes else map(int, minutes))
                ),
            )
        case None:
            return 1


def read_events(
    frame: DataFrame,
    *,
    keys: Sequence[str],
    timestamp: str,
    created: str | None,
    items: Sequence[AggregationNode],
    hop: int,
) -> Events:
    """Project source rows to what the aggregations read. -0.0 becomes 0.0, so that no order can show."""
    inputs = {pair: f"v{i}" for i, pair in enumerate(dict.fromkeys((item.column, item.where) for item in items))}
    micros = F.unix_micros(F.col(timestamp))
    at = F.struct(F.col(timestamp).alias("event"), *([F.col(created).alias("created")] if created else []))
    columns = [_value(frame, column, where).alias(name) for (column, where), name in inputs.items()]
    tile = (micros - F.pmod(micros, F.lit(hop))).alias(TILE)
    return Events(rows=frame.select(*keys, tile, at.alias(AT), *columns), keys=tuple(keys), inputs=inputs)


def _value(frame: DataFrame, column: str | None, where: str | None) -> Column:
    value = F.lit(True) if column is None else F.col(column)
    if column is not None and isinstance(frame.schema[column].dataType, T.FloatType | T.DoubleType):
        value = value + F.lit(0.0).cast(frame.schema[column].dataType)
    return value if where is None else F.when(F.expr(where), value)


def build_tiles(events: Events, items: Sequence[AggregationNode]) -> DataFrame:
    """Aggregate events into tiles: keys, TILE and the partial columns, each once however many windows share it.

    Float partials are folded over sorted rows (event time, created, values) of one (key, tile), in one task.
    """
    lowerings = [events.lowering(item) for item in items if item.function not in VALUE_FUNCTIONS]
    partials = {name: partial for lowering in lowerings for name, partial in lowering.partials.items()}
    group = [*events.keys, TILE]
    rows = events.rows
    if any(lowering.is_ordered for lowering in lowerings):
        values = [name for name in events.inputs.values() if not isinstance(rows.schema[name].dataType, T.MapType)]
        rows = rows.repartition(*group).sortWithinPartitions(*group, AT, *values)
    tiles = [partial.alias(name) for name, partial in sorted(partials.items())]
    return rows.groupBy(*group).agg(*tiles) if tiles else rows.select(*group).distinct()


def build_value_tiles(events: Events, value: Column) -> DataFrame:
    """Count each value, or cell, of one input: keys, TILE, VALUE, COUNT, LAST. The counts need no order."""
    return (
        events.rows.withColumn(VALUE, value)
        .where(F.col(VALUE).isNotNull())
        .groupBy(*events.keys, TILE, VALUE)
        .agg(F.count(F.lit(1)).alias(COUNT), F.max(AT).alias(LAST))
    )
