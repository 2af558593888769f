"""Each aggregation function as partial columns of a tile, and a merge of tiles into a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.spark.approximations import (
    distinct_cell,
    estimate_distinct,
    percentile_of,
    quantile_cell,
)
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction as Function

__all__ = ["AT", "TILE", "VALUE_FUNCTIONS", "Lowering", "cell", "lower", "lower_values"]

AT = "__at"
"""Event column: struct of (event time, created time), the order of events before value."""
TILE = "__tile"
"""Start of the tile, in microseconds since the epoch."""

VALUE_FUNCTIONS = frozenset(
    {
        Function.COUNT_DISTINCT,
        Function.TOP_K,
        Function.HISTOGRAM,
        Function.APPROX_COUNT_DISTINCT,
        Function.APPROX_PERCENTILE,
    }
)
"""Functions over how often each value, or cell, occurs: their tiles have one row for each (see ``lower_values``)."""

_LOW_BITS = 0xFFFF_FFFF
_FLOATS = (T.FloatType, T.DoubleType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """``partials`` are aggregates of events by name; ``merge`` takes "the tile is in the window" to its value.

    ``is_ordered``: the partials and the merge fold floats, so both need their rows sorted.
    """

    partials: Mapping[str, Column]
    merge: Callable[[Column], Column]
    is_ordered: bool = False


def lower(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    """Lower a function over the event column ``value`` of Spark type ``kind``.

    Floats are summed within a tile, then over tiles, in time order; nothing is ever subtracted. Integers are exact
    whatever the order. Nulls are skipped by all functions.
    """
    match item.function:
        case Function.COUNT:
            return _counted(value)
        case Function.SUM:
            return _summed(item, value, kind)
        case Function.MEAN:
            return _mean(item, value, kind)
        case Function.VAR_POP | Function.VAR_SAMP | Function.STDDEV_POP | Function.STDDEV_SAMP:
            return _spread(item.function, value)
        case Function.MIN:
            return _extreme(f"{value}_min", F.col(value), F.min)
        case Function.MAX:
            return _extreme(f"{value}_max", F.col(value), F.max)
        case Function.FIRST:
            return _extreme(f"{value}_first", _stamped(value), F.min, lambda best: best["v"])
        case Function.LAST:
            return _extreme(f"{value}_last", _stamped(value), F.max, lambda best: best["v"])
        case Function.FIRST_K:
            return _nearest(item, value, ascending=True)
        case Function.LAST_K:
            return _nearest(item, value, ascending=False)
        case _:
            raise AssertionError(f"{item.function} is lowered by lower_values()")


def lower_values(item: AggregationNode, value: Column, count: Column, last: Column) -> Column:
    """Lower a function of ``VALUE_FUNCTIONS`` to an aggregate over one row per distinct value in the window.

    ``value`` is what ``cell`` made of the input, ``count`` how often it occurs there (null: not at all), ``last`` when
    it was last seen. The memory is one entry per distinct value of a key, except for count_distinct.
    """
    match item.function:
        case Function.COUNT_DISTINCT:
            return _limited(item, F.count(count), F.count(count))
        case Function.TOP_K:
            seen = F.collect_list(F.when(count.isNotNull(), F.struct(count, last, value.alias("v"))))
            best = F.slice(F.sort_array(seen, asc=False), 1, item.k or 1)
            return _unless_empty(F.transform(best, lambda entry: entry["v"]))
        case Function.HISTOGRAM:
            pair = F.struct(value.cast("string").alias("key"), count.alias("value"))
            entries = F.sort_array(F.collect_list(F.when(count.isNotNull(), pair)))
            return _limited(item, F.count(count), F.when(F.size(entries) > 0, F.map_from_entries(entries)))
        case Function.APPROX_COUNT_DISTINCT:
            return estimate_distinct(value, count)
        case Function.APPROX_PERCENTILE:
            assert item.percentile is not None, "compile asks for it"
            return percentile_of(value, count, item.percentile)
        case _:
            raise AssertionError(f"{item.function} is lowered by lower()")


def cell(function: Function, value: str, kind: T.DataType) -> Column:
    """Give what a function of ``VALUE_FUNCTIONS`` counts for an input of Spark type ``kind``; null for null."""
    match function:
        case Function.APPROX_COUNT_DISTINCT:
            return distinct_cell(F.col(value), kind)
        case Function.APPROX_PERCENTILE:
            return quantile_cell(F.col(value))
        case _:
            return F.col(value)


def _counted(value: str) -> Lowering:
    name = f"{value}_count"
    return Lowering(
        partials={name: F.count(value)},
        merge=lambda inside: F.coalesce(F.sum(F.when(inside, F.col(name))), F.lit(0)),
    )


def _summed(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    if isinstance(kind, T.LongType):
        return _summed_long(item, value)
    name = f"{value}_sum"
    wide = F.col(value) if isinstance(kind, T.DecimalType) else F.col(value).cast(_accumulator(kind))
    return Lowering(
        partials={name: F.sum(wide)},
        merge=lambda inside: F.sum(F.when(inside, F.col(name))),
        is_ordered=isinstance(kind, _FLOATS),
    )


def _accumulator(kind: T.DataType) -> str:
    return "double" if isinstance(kind, _FLOATS) else "bigint"


def _summed_long(item: AggregationNode, value: str) -> Lowering:
    """Sum the upper and lower 32 bits apart: neither can overflow, so only a total outside int64 is an error."""
    partials, total = _exact_total(value)
    message = f"feature {item.name!r}: the sum of {item.column!r} is outside int64; declare a float or decimal column"

    def merge(inside: Column) -> Column:
        exact = total(inside)
        fits = exact.isNull() | exact.try_cast("bigint").isNotNull()
        return F.when(fits, exact.try_cast("bigint")).otherwise(F.raise_error(F.lit(message)).cast("bigint"))

    return Lowering(partials=partials, merge=merge)


def _exact_total(value: str) -> tuple[Mapping[str, Column], Callable[[Column], Column]]:
    high, low = f"{value}_sum_high", f"{value}_sum_low"
    partials = {
        high: F.sum(F.shiftright(F.col(value), 32)),
        low: F.sum(F.col(value).bitwiseAND(F.lit(_LOW_BITS).cast("bigint"))),
    }

    def total(inside: Column) -> Column:
        upper, lower = (F.sum(F.when(inside, F.col(name))).cast("decimal(20,0)") for name in (high, low))
        return upper * F.lit(_LOW_BITS + 1).cast("decimal(10,0)") + lower

    return partials, total


def _mean(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    count = _counted(value)
    if isinstance(kind, T.LongType):
        partials, total = _exact_total(value)
        is_ordered = False
    else:
        summed = _summed(item, value, kind)
        partials, total, is_ordered = summed.partials, summed.merge, summed.is_ordered

    def merge(inside: Column) -> Column:
        rows = count.merge(inside)
        return F.when(rows > 0, total(inside).cast("double") / rows)

    return Lowering(partials={**partials, **count.partials}, merge=merge, is_ordered=is_ordered)


def _spread(function: Function, value: str) -> Lowering:
    """Merge (count, mean, sum of squared deviations) of tiles in time order, by Chan, Golub and LeVeque's formula."""
    v = F.col(value).cast("double")
    count, mean, squares = (f"{value}_{part}" for part in ("count", "mean", "squares"))
    partials = {count: F.count(value), mean: F.avg(v), squares: F.var_pop(v) * F.count(value)}

    def combine(total: Column, tile: Column) -> Column:
        n = total["n"] + tile["n"]
        delta = tile["mean"] - total["mean"]
        return F.struct(
            n.alias("n"),
            (total["mean"] + delta * tile["n"] / n).alias("mean"),
            (total["squares"] + tile["squares"] + delta * delta * total["n"] * tile["n"] / n).alias("squares"),
        )

    def finish(total: Column) -> Column:
        degrees = total["n"] if function in (Function.VAR_POP, Function.STDDEV_POP) else total["n"] - 1
        variance = F.when(degrees > 0, total["squares"] / degrees)
        return F.sqrt(variance) if function in (Function.STDDEV_POP, Function.STDDEV_SAMP) else variance

    def merge(inside: Column) -> Column:
        part = F.struct(
            F.col(TILE).alias("tile"),
            F.col(count).cast("double").alias("n"),
            F.col(mean).alias("mean"),
            F.col(squares).alias("squares"),
        )
        parts = F.sort_array(F.collect_list(F.when(inside & (F.col(count) > 0), part)))
        zero = F.struct(F.lit(0.0).alias("n"), F.lit(0.0).alias("mean"), F.lit(0.0).alias("squares"))
        return F.aggregate(parts, zero, combine, finish)

    return Lowering(partials=partials, merge=merge, is_ordered=True)


def _extreme(
    name: str, value: Column, pick: Callable[[Column], Column], finish: Callable[[Column], Column] | None = None
) -> Lowering:
    def merge(inside: Column) -> Column:
        best = pick(F.when(inside, F.col(name)))
        return finish(best) if finish else best

    return Lowering(partials={name: pick(value)}, merge=merge)


def _stamped(value: str) -> Column:
    return F.when(F.col(value).isNotNull(), F.struct(F.col(AT).alias("at"), F.col(value).alias("v")))


def _nearest(item: AggregationNode, value: str, *, ascending: bool) -> Lowering:
    k = item.k or 1
    name = f"{value}_{'first' if ascending else 'last'}_{k}"

    def merge(inside: Column) -> Column:
        tiles = F.flatten(F.collect_list(F.when(inside, F.col(name))))
        best = F.slice(F.sort_array(tiles, asc=ascending), 1, k)
        return _unless_empty(F.transform(best, lambda entry: entry["v"]))

    kept = F.slice(F.sort_array(F.collect_list(_stamped(value)), asc=ascending), 1, k)
    return Lowering(partials={name: kept}, merge=merge)


def _unless_empty(values: Column) -> Column:
    return F.when(F.size(values) > 0, values)


def _limited(item: AggregationNode, distinct: Column, result: Column) -> Column:
    if item.limit is None:
        return result
    message = F.concat(
        F.lit(f"feature {item.name!r}: a key has "),
        distinct.cast("string"),
        F.lit(f" distinct values of {item.column!r}, more than limit={item.limit}; raise the limit or use a top_k"),
    )
    return F.when(distinct <= item.limit, result).otherwise(
        F.raise_error(message) if item.function is Function.HISTOGRAM else F.raise_error(message).cast("bigint")
    )
