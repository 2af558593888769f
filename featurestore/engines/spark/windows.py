"""Tiles to rows: the windows' values at each step end, and which of them differ from the step before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from featurestore.engines.spark.aggregations import TILE, VALUE_FUNCTIONS, lower_values
from featurestore.engines.spark.schema import checked_cast, is_castable, order_key, spark_type
from featurestore.engines.spark.tiles import COUNT, LAST, VALUE, Events, build_tiles, build_value_tiles
from featurestore.errors import Problem, SchemaMismatch
from featurestore.intervals import Interval, to_micros
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction as Function
from featurestore.spec.dtypes import show_dtype

__all__ = ["Steps", "changed_rows"]

START, END, PRESENT = "__start", "__end", "__present"
_STEP = (START, END)
_MICROSECOND = timedelta(microseconds=1)
_COUNTS = (Function.COUNT, Function.COUNT_DISTINCT, Function.APPROX_COUNT_DISTINCT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of a run, in order; ``first``: the first of them begins a covered stretch and states all it has."""

    steps: tuple[Interval, ...]
    first: bool
    hop: int

    def of_tile(self, longest: timedelta | None) -> Column:
        """List (start, end) of the steps that a tile of TILE matters to: it is in a window at the end or at the start.

        The window's state at the start of the first step has a pair of its own, (start, start).
        """
        begin = self.steps[0].start
        bounds = [(begin, begin), *((step.start, step.end) for step in self.steps)]
        pairs = [
            F.struct(F.lit(to_micros(start)).alias("start"), F.lit(to_micros(end)).alias("end"))
            for start, end in bounds
        ]
        tile = F.col(TILE)

        def matters(pair: Column) -> Column:
            began = tile + self.hop <= pair["end"]
            return began if longest is None else began & (tile >= pair["start"] - F.lit(longest // _MICROSECOND))

        return F.filter(F.array(*pairs), matters)

    def states_all(self) -> Column:
        """Say whether the step that begins at START states each key with events, whatever it had before."""
        return (F.col(START) == to_micros(self.steps[0].start)) if self.first else F.lit(False)


def changed_rows(events: Events, items: Sequence[AggregationNode], steps: Steps) -> DataFrame:
    """Give keys, event_timestamp (the step end) and features, where the values differ from the step before.

    A key appears when it has events in the longest window and had none, when a value's bits change, and once more
    when all its windows ran empty. In the first step of a stretch each key with values appears, and those that ran
    empty there do too: the row before may come later, when the hole in front is filled, and must not hold on. Values
    of no events (of a key with nothing but nulls) do not hold, so they are not stated again there.
    """
    keys = list(events.keys)
    values = _window_values(events, items, steps)
    sharing: dict[tuple[str, str], list[AggregationNode]] = {}
    for item in (item for item in items if item.function in VALUE_FUNCTIONS):
        sharing.setdefault(events.counted(item), []).append(item)
    for own in sharing.values():
        values = values.join(_value_windows(events, own, items, steps), [*keys, *_STEP], "left")
    features = {item.name: _feature(values, item) for item in items}
    values = values.select(*keys, *_STEP, PRESENT, *(column.alias(name) for name, column in features.items()))
    state = F.struct(END, PRESENT, *features)
    before = F.lag(state).over(Window.partitionBy(*keys).orderBy(END))
    compared = values.withColumn("__before", before).withColumn(
        "__held", F.coalesce((F.col("__before")[END] == F.col(START)) & F.col("__before")[PRESENT], F.lit(False))
    )
    same = reduce(
        and_,
        (
            order_key(F.col(item.name), item.dtype).eqNullSafe(order_key(F.col("__before")[item.name], item.dtype))
            for item in items
        ),
    )
    has_value = reduce(
        or_, (F.col(item.name) != 0 if item.function in _COUNTS else F.col(item.name).isNotNull() for item in items)
    )
    appears = F.col(PRESENT) & (~F.col("__held") | (steps.states_all() & has_value))
    return compared.where((F.col(END) > F.col(START)) & (appears | (F.col("__held") & ~same))).select(
        *keys, F.timestamp_micros(F.col(END)).alias(EVENT_TIMESTAMP), *features
    )


def _longest(items: Sequence[AggregationNode]) -> timedelta | None:
    windows = [item.window for item in items]
    return None if None in windows else max(window for window in windows if window is not None)


def _at_steps(tiles: DataFrame, keys: Sequence[str], items: Sequence[AggregationNode], steps: Steps) -> DataFrame:
    """Repeat each tile for the steps it matters to; all rows of a key come to one task."""
    kept = [name for name in tiles.columns if name not in keys]
    placed = tiles.repartition(*keys).select(*keys, *kept, F.explode(steps.of_tile(_longest(items))).alias("__step"))
    return placed.select(
        *keys, F.col("__step")["start"].alias(START), F.col("__step")["end"].alias(END), *kept
    ).sortWithinPartitions(*keys, END, START, TILE)


def _inside(window: timedelta | None) -> Column:
    return F.lit(True) if window is None else F.col(TILE) >= F.col(END) - F.lit(window // _MICROSECOND)


def _window_values(events: Events, items: Sequence[AggregationNode], steps: Steps) -> DataFrame:
    placed = _at_steps(build_tiles(events, items), events.keys, items, steps)
    merged = {
        item.name: events.lowering(item).merge(_inside(item.window))
        for item in items
        if item.function not in VALUE_FUNCTIONS
    }
    present = F.max(_inside(_longest(items))).alias(PRESENT)
    return placed.groupBy(*events.keys, END, START).agg(
        present, *(column.alias(name) for name, column in merged.items())
    )


def _value_windows(
    events: Events, own: Sequence[AggregationNode], items: Sequence[AggregationNode], steps: Steps
) -> DataFrame:
    """Give the functions of one input's value counts: keys, step, and a column for each of ``own``."""
    placed = _at_steps(build_value_tiles(events, events.cell(own[0])), events.keys, items, steps)
    windows: Mapping[timedelta | None, str] = {item.window: "" for item in own}
    windows = {window: str(number) for number, window in enumerate(windows)}
    counted = placed.groupBy(*events.keys, *_STEP, VALUE).agg(
        *(F.sum(F.when(_inside(window), F.col(COUNT))).alias(COUNT + n) for window, n in windows.items()),
        *(F.max(F.when(_inside(window), F.col(LAST))).alias(LAST + n) for window, n in windows.items()),
    )
    return counted.groupBy(*events.keys, *_STEP).agg(
        *(
            lower_values(
                item, F.col(VALUE), F.col(COUNT + windows[item.window]), F.col(LAST + windows[item.window])
            ).alias(item.name)
            for item in own
        )
    )


def _feature(values: DataFrame, item: AggregationNode) -> Column:
    column, found, wanted = F.col(item.name), values.schema[item.name].dataType, spark_type(item.dtype)
    if not is_castable(found, wanted):
        message = f"{item.function} of {item.column!r} gives {found.simpleString()}, not {show_dtype(item.dtype)}"
        raise SchemaMismatch([Problem(location="aggregations", object=item.name, message=f"{message}; correct dtype=")])
    if item.function in _COUNTS:
        column = F.coalesce(column, F.lit(0))
    return checked_cast(column, found, wanted, what=f"feature {item.name!r}")
