"""Tiles to rows: the windows' values at both ends of each step, and the rows where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.schema import checked_cast, is_castable, order_key, spark_type
from featurestore.engines.spark.tiles import COUNT, LAST, VALUE, Tiles
from featurestore.engines.spark.value_functions import VALUE_FUNCTIONS, lower_values
from featurestore.engines.spark.window_steps import END, START, Steps
from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import AggregationNode
from featurestore.ir.tiles import TILE
from featurestore.spec.aggregation import AggregationFunction as Function
from featurestore.spec.dtypes import show_dtype

__all__ = ["changed_rows"]

_BEFORE, _PRESENT, _WAS_PRESENT = "__before_", "__present", "__was_present"
_COUNTS = (Function.COUNT, Function.COUNT_DISTINCT, Function.APPROX_COUNT_DISTINCT)


def changed_rows(tiles: Tiles, steps: Steps, *, news: DataFrame | None = None) -> DataFrame:
    """Give keys, event_timestamp (the step end) and features, where the values differ from the step before.

    A key appears when it has events in the longest window and had none, when a value's bits change, and once more
    when all its windows ran empty. In the first step of a stretch each key with values appears, and those that ran
    empty there do too: the row before may come later, when the hole in front is filled, and must not hold on. Values
    of no events (of a key with nothing but nulls) do not hold, so they are not stated again there.

    With ``news``, the tiles of ``steps.news``, windows are merged only for keys that have some: no other can appear.
    """
    items, keys = tiles.inputs.items, list(tiles.keys)
    group = [*keys, START, END]
    placed = steps.placed(tiles.partials)
    touched = None if news is None else steps.placed(news).where(steps.is_news()).select(*group)
    values = _window_values(placed, tiles, steps, group, touched)
    sharing: dict[str, list[AggregationNode]] = {}
    for item in (item for item in items if item.function in VALUE_FUNCTIONS):
        sharing.setdefault(tiles.inputs.counted(item), []).append(item)
    for name, own in sharing.items():
        counted = _value_windows(steps.placed(tiles.values[name]), own, steps, group, touched)
        values = values.join(counted, group, "left")
    return _rows(values, items, keys, steps)


def _rows(values: DataFrame, items: Sequence[AggregationNode], keys: Sequence[str], steps: Steps) -> DataFrame:
    features = [_feature(values, item, prefix).alias(prefix + item.name) for item in items for prefix in ("", _BEFORE)]
    values = values.select(*keys, START, END, _PRESENT, _WAS_PRESENT, *features)
    same = reduce(
        and_,
        (
            order_key(F.col(item.name), item.dtype).eqNullSafe(order_key(F.col(_BEFORE + item.name), item.dtype))
            for item in items
        ),
    )
    has_value = reduce(
        or_, (F.col(item.name) != 0 if item.function in _COUNTS else F.col(item.name).isNotNull() for item in items)
    )
    appears = F.col(_PRESENT) & (~F.col(_WAS_PRESENT) | (steps.states_all() & has_value))
    return values.where(appears | (F.col(_WAS_PRESENT) & ~same)).select(
        *keys, F.timestamp_micros(F.col(END)).alias(EVENT_TIMESTAMP), *(item.name for item in items)
    )


def _of_touched(placed: DataFrame, group: list[str], touched: DataFrame | None) -> DataFrame:
    """Bring all rows of a key and step to one task, in order of time; those of untouched keys are left out."""
    rows = placed if touched is None else placed.join(touched, group, "left_semi")
    return rows.repartition(*group).sortWithinPartitions(*group, TILE)


def _window_values(
    placed: DataFrame, tiles: Tiles, steps: Steps, group: list[str], touched: DataFrame | None
) -> DataFrame:
    merged = [
        tiles.inputs.lowering(item).merge(steps.members(item.window, at_start=at_start)).alias(prefix + item.name)
        for item in tiles.inputs.items
        if item.function not in VALUE_FUNCTIONS
        for prefix, at_start in (("", False), (_BEFORE, True))
    ]
    longest = steps.longest()
    return (
        _of_touched(placed, group, touched)
        .groupBy(*group)
        .agg(
            steps.has_events(longest).alias(_PRESENT),
            steps.has_events(longest, at_start=True).alias(_WAS_PRESENT),
            *merged,
        )
    )


def _value_windows(
    placed: DataFrame, own: Sequence[AggregationNode], steps: Steps, group: list[str], touched: DataFrame | None
) -> DataFrame:
    """Give the functions of one input's value counts: keys, step, and two columns for each of ``own``."""
    names = {window: str(number) for number, window in enumerate(dict.fromkeys(item.window for item in own))}
    ends = [
        (steps.members(window, at_start=bool(end)).inside, n + end)
        for window, n in names.items()
        for end in ("", _BEFORE)
    ]
    counted = (
        _of_touched(placed, group, touched)
        .groupBy(*group, VALUE)
        .agg(
            *(F.sum(F.when(inside, F.col(COUNT))).alias(COUNT + name) for inside, name in ends),
            *(F.max(F.when(inside, F.col(LAST))).alias(LAST + name) for inside, name in ends),
        )
    )
    return counted.groupBy(*group).agg(
        *(
            lower_values(item, F.col(VALUE), F.col(COUNT + n), F.col(LAST + n)).alias(prefix + item.name)
            for item in own
            for prefix in ("", _BEFORE)
            for n in [names[item.window] + prefix]
        )
    )


def _feature(values: DataFrame, item: AggregationNode, prefix: str) -> Column:
    name = prefix + item.name
    column, found, wanted = F.col(name), values.schema[name].dataType, spark_type(item.dtype)
    if not is_castable(found, wanted):
        message = f"{item.function} of {item.column!r} gives {found.simpleString()}, not {show_dtype(item.dtype)}"
        raise SchemaMismatch([Problem(location="aggregations", object=item.name, message=f"{message}; correct dtype=")])
    if item.function in _COUNTS:
        column = F.coalesce(column, F.lit(0))
    return checked_cast(column, found, wanted, what=f"feature {item.name!r}")
