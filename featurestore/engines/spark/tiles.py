"""Events to tiles, and tiles to coarser ones: a row for each key and stretch of time that has events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from croniter import croniter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.spark.aggregations import AT, CHILD, Lowering, lower
from featurestore.engines.spark.value_functions import VALUE_FUNCTIONS, cell
from featurestore.ir.nodes import AggregationNode, Aggregations, DeltaSourceNode, FileSourceNode, ViewNode
from featurestore.ir.schedule import CronSchedule, PeriodSchedule, ScheduleNode
from featurestore.ir.tiles import EVENTS, SIZE, TILE, input_name
from featurestore.plan.tile_ranges import TileRange, begins_with_time
from featurestore.spec.aggregation import AggregationFunction as Function

__all__ = [
    "COUNT",
    "LAST",
    "TOTAL",
    "VALUE",
    "Events",
    "Inputs",
    "Tiles",
    "combine_tiles",
    "grid_micros",
    "hop_micros",
    "read_events",
    "tiles_of_events",
]

VALUE, COUNT, LAST = "__value", "__count", "__last"
"""Columns of value tiles: the value, how often it occurs in the tile, and when it was last seen."""

TOTAL = "__total"
"""Which of the windows a row is the total of; null for a tile."""

_AT_MICROS = "__micros"
_MICROSECOND = timedelta(microseconds=1)
_MINUTES = timedelta(minutes=1) // _MICROSECOND
_DAY = timedelta(days=1) // _MICROSECOND


@dataclass(frozen=True, kw_only=True)  # no slots: lowerings are kept
class Inputs:
    """What aggregations read of each event, named by (column, where) and typed by name."""

    items: tuple[AggregationNode, ...]
    names: Mapping[tuple[str | None, str | None], str]
    types: Mapping[str, T.DataType]

    @classmethod
    def of(
        cls, items: Sequence[AggregationNode], schema: T.StructType, source: FileSourceNode | DeltaSourceNode | None
    ) -> Inputs:
        """Name the inputs of columns of ``schema``; with the ``source`` they are named alike in all its views."""
        read = {(item.column, item.where): item for item in items}
        names = {pair: input_name(item, source) for pair, item in read.items()}
        types = {
            names[column, where]: T.BooleanType() if column is None else schema[column].dataType
            for column, where in read
        }
        return cls(items=tuple(items), names=names, types=types)

    def value_of(self, item: AggregationNode) -> str:
        return self.names[item.column, item.where]

    def counted(self, item: AggregationNode) -> str:
        """Name what a function of ``VALUE_FUNCTIONS`` counts: functions with one name share their tiles."""
        own_cells = item.function in (Function.APPROX_COUNT_DISTINCT, Function.APPROX_PERCENTILE)
        return f"{self.value_of(item)}_{item.function if own_cells else 'values'}"

    def cells(self) -> Mapping[str, Column]:
        """Give what is counted, by name."""
        counted = [item for item in self.items if item.function in VALUE_FUNCTIONS]
        return {
            self.counted(item): cell(item.function, self.value_of(item), self.types[self.value_of(item)])
            for item in counted
        }

    def lowering(self, item: AggregationNode) -> Lowering:
        return self._lowered[self.items.index(item)]

    @cached_property
    def _lowered(self) -> Mapping[int, Lowering]:
        """Each is a hundred calls of Spark, and is asked for several times a run."""
        names = {place: self.value_of(item) for place, item in enumerate(self.items)}
        return {
            place: lower(self.items[place], value, self.types[value])
            for place, value in names.items()
            if self.items[place].function not in VALUE_FUNCTIONS
        }

    def lowerings(self) -> list[Lowering]:
        return [*self._lowered.values()]

    def columns(self) -> frozenset[str]:
        """Name all that the aggregations need of a tile: partials, value counts, and whether it has events."""
        partials = {name for lowering in self.lowerings() for name in lowering.partials}
        return frozenset({EVENTS, *partials, *self.cells()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """``rows``: keys, the instant in microseconds, AT and one column for each input, by its name."""

    rows: DataFrame
    keys: tuple[str, ...]
    inputs: Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """``partials``: keys, SIZE, TILE, EVENTS and partial columns. Of one tile there may be several rows, each with
    values in other columns; where TOTAL is a column, there are rows of windows' totals, with neither SIZE nor TILE.
    ``values``, by what is counted: keys, SIZE, TILE, VALUE, COUNT, LAST.
    """

    partials: DataFrame
    values: Mapping[str, DataFrame]
    keys: tuple[str, ...]
    inputs: Inputs


def hop_micros(view: ViewNode) -> int:
    """Give the base tile length: the greatest that divides all windows and the grid of step ends.

    It follows from the definition alone, and tiles are anchored at the epoch: a tile is the same whatever run reads it.
    """
    assert isinstance(view.transformation, Aggregations)
    windows = [item.window // _MICROSECOND for item in view.transformation.items if item.window is not None]
    return math.gcd(grid_micros(view.schedule), *windows)


def grid_micros(schedule: ScheduleNode | None) -> int:
    """Give the greatest length whose multiples all step ends are."""
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
    frame: DataFrame, *, keys: Sequence[str], timestamp: str, created: str | None, inputs: Inputs
) -> Events:
    """Project source rows to what the aggregations read. -0.0 becomes 0.0, so that no order can show."""
    at = F.struct(F.col(timestamp).alias("event"), *([F.col(created).alias("created")] if created else []))
    columns = [_value(frame, column, where).alias(name) for (column, where), name in inputs.names.items()]
    rows = frame.select(*keys, F.unix_micros(F.col(timestamp)).alias(_AT_MICROS), at.alias(AT), *columns)
    return Events(rows=rows, keys=tuple(keys), inputs=inputs)


def _value(frame: DataFrame, column: str | None, where: str | None) -> Column:
    value = F.lit(True) if column is None else F.col(column)
    if column is not None and isinstance(frame.schema[column].dataType, T.FloatType | T.DoubleType):
        value = value + F.lit(0.0).cast(frame.schema[column].dataType)
    return value if where is None else F.when(F.expr(where), value)


def tiles_of_events(events: Events, columns: frozenset[str], ranges: Sequence[TileRange]) -> Tiles:
    """Aggregate events into tiles of the ranges; only ``columns`` are computed, each once however many views share it.

    Float partials are folded over sorted rows (event time, created, values) of one (key, tile), in one task. The
    counts of values need no order.
    """
    inputs = events.inputs
    placed = _placed(events.rows, F.col(_AT_MICROS), ranges)
    lowerings = [lowering for lowering in inputs.lowerings() if columns & set(lowering.partials)]
    partials = {name: column for lowering in lowerings for name, column in lowering.partials.items()}
    partials[EVENTS] = F.count(F.lit(1))
    is_ordered = any(lowering.is_ordered for lowering in lowerings)
    values = [name for name, kind in inputs.types.items() if not isinstance(kind, T.MapType)]
    group = _group(events.keys, ranges)
    counts = [F.count(F.lit(1)).alias(COUNT), F.max(AT).alias(LAST)]
    return Tiles(
        partials=_sized(
            _aggregated(placed, group, partials, columns, order=[AT, *values] if is_ordered else []), ranges
        ),
        values={
            name: _sized(
                placed.withColumn(VALUE, counted).where(F.col(VALUE).isNotNull()).groupBy(*group, VALUE).agg(*counts),
                ranges,
            )
            for name, counted in inputs.cells().items()
            if name in columns
        },
        keys=events.keys,
        inputs=inputs,
    )


def combine_tiles(tiles: Tiles, columns: frozenset[str], ranges: Sequence[TileRange]) -> Tiles:
    """Combine finer tiles, all of one size, into tiles of the ranges, floats in order of time."""
    inputs = tiles.inputs
    lowerings = [lowering for lowering in inputs.lowerings() if columns & set(lowering.partials)]
    combined = {name: column for lowering in lowerings for name, column in lowering.combine.items()}
    combined[EVENTS] = F.sum(EVENTS)
    order = [CHILD] if any(lowering.is_ordered for lowering in lowerings) else []
    group = _group(tiles.keys, ranges)
    counts = [F.sum(COUNT).alias(COUNT), F.max(LAST).alias(LAST)]
    return Tiles(
        partials=_sized(_aggregated(_coarser(tiles.partials, ranges), group, combined, columns, order=order), ranges),
        values={
            name: _sized(_coarser(rows, ranges).groupBy(*group, VALUE).agg(*counts), ranges)
            for name, rows in tiles.values.items()
            if name in columns
        },
        keys=tiles.keys,
        inputs=inputs,
    )


def _coarser(rows: DataFrame, ranges: Sequence[TileRange]) -> DataFrame:
    return _placed(rows.drop(SIZE).withColumnRenamed(TILE, CHILD), F.col(CHILD), ranges)


def _group(keys: Sequence[str], ranges: Sequence[TileRange]) -> list[str]:
    """Name what rows are grouped by: the size too, unless there is only one.

    A constant would be left out of the exchange by which float partials get their order.
    """
    return [*keys, *([SIZE] if len({tiles.size for tiles in ranges}) > 1 else []), TILE]


def _sized(tiles: DataFrame, ranges: Sequence[TileRange]) -> DataFrame:
    return tiles if SIZE in tiles.columns else tiles.withColumn(SIZE, F.lit(ranges[0].size).cast("bigint"))


def _placed(rows: DataFrame, at: Column, ranges: Sequence[TileRange]) -> DataFrame:
    """Give each row TILE, and SIZE where there are several: once for each size that has a range around it."""
    sizes = {tiles.size: F.lit(False) for tiles in ranges}
    for tiles in ranges:
        inside = at < tiles.end if begins_with_time(tiles) else (at >= tiles.start) & (at < tiles.end)
        sizes[tiles.size] = sizes[tiles.size] | inside
    if len(sizes) == 1:
        ((size, inside),) = sizes.items()
        return rows.where(inside).withColumn(TILE, at - F.pmod(at, F.lit(size)))
    lists = F.array(*(F.when(inside, F.lit(size).cast("bigint")) for size, inside in sizes.items()))
    placed = rows.withColumn(SIZE, F.explode(F.array_compact(lists)))
    return placed.withColumn(TILE, at - F.pmod(at, F.col(SIZE)))


def _aggregated(
    rows: DataFrame, group: list[str], aggregates: Mapping[str, Column], columns: frozenset[str], *, order: list[str]
) -> DataFrame:
    wanted = [column.alias(name) for name, column in sorted(aggregates.items()) if name in columns]
    if order:
        rows = rows.repartition(*group).sortWithinPartitions(*group, *order)
    return rows.groupBy(*group).agg(*wanted) if wanted else rows.select(*group).distinct()
