"""Each aggregation function as partial columns of a tile, and a merge of tiles into a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.ir.nodes import AggregationNode
from featurestore.ir.tiles import TILE
from featurestore.spec.aggregation import AggregationFunction as Function

__all__ = ["AT", "CHILD", "Lowering", "lower", "unless_empty"]

AT = "__at"
"""Event column: struct of (event time, created time), the order of events before value."""
CHILD = "__child"
"""Start of the finer tile that goes into a coarser one."""

_LOW_BITS = 0xFFFF_FFFF
_FLOATS = (T.FloatType, T.DoubleType)
_SUMMED_DIGITS, _MOST_DIGITS = 10, 38
"""By how much a decimal sum is wider than what it sums, and Spark's greatest width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """``partials`` are aggregates of events by name; ``combine`` aggregates finer tiles to the same columns.

    ``merge`` takes "the tile is in the window" to the window's value. ``is_ordered``: all three fold floats, so they
    need their rows in order of time. Each partial is computed by itself, so rows that have only some of them add up.
    """

    partials: Mapping[str, Column]
    combine: Mapping[str, Column]
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


def _counted(value: str) -> Lowering:
    name = f"{value}_count"
    return Lowering(
        partials={name: F.count(value)},
        combine={name: F.sum(name)},
        merge=lambda inside: F.coalesce(F.sum(F.when(inside, F.col(name))), F.lit(0)),
    )


def _summed(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    if isinstance(kind, T.LongType):
        return _summed_long(item, value)
    name, wide = f"{value}_sum", _accumulator(kind)
    return Lowering(
        partials={name: F.sum(F.col(value) if isinstance(kind, T.DecimalType) else F.col(value).cast(wide))},
        combine={name: F.sum(name).cast(wide)},
        merge=lambda inside: F.sum(F.when(inside, F.col(name))),
        is_ordered=isinstance(kind, _FLOATS),
    )


def _accumulator(kind: T.DataType) -> T.DataType:
    """Give the type of sums, which is that of sums of sums, too."""
    if isinstance(kind, T.DecimalType):
        return T.DecimalType(min(kind.precision + _SUMMED_DIGITS, _MOST_DIGITS), kind.scale)
    return T.DoubleType() if isinstance(kind, _FLOATS) else T.LongType()


def _summed_long(item: AggregationNode, value: str) -> Lowering:
    """Sum the upper and lower 32 bits apart: neither can overflow, so only a total outside int64 is an error."""
    exact = _exact_total(value)
    message = f"feature {item.name!r}: the sum of {item.column!r} is outside int64; declare a float or decimal column"

    def merge(inside: Column) -> Column:
        total = exact.merge(inside)
        fits = total.isNull() | total.try_cast("bigint").isNotNull()
        return F.when(fits, total.try_cast("bigint")).otherwise(F.raise_error(F.lit(message)).cast("bigint"))

    return replace(exact, merge=merge)


def _exact_total(value: str) -> Lowering:
    high, low = f"{value}_sum_high", f"{value}_sum_low"
    partials = {
        high: F.sum(F.shiftright(F.col(value), 32)),
        low: F.sum(F.col(value).bitwiseAND(F.lit(_LOW_BITS).cast("bigint"))),
    }

    def total(inside: Column) -> Column:
        upper, lower = (F.sum(F.when(inside, F.col(name))).cast("decimal(20,0)") for name in (high, low))
        return upper * F.lit(_LOW_BITS + 1).cast("decimal(10,0)") + lower

    return Lowering(partials=partials, combine={name: F.sum(name) for name in (high, low)}, merge=total)


def _mean(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    count = _counted(value)
    total = _exact_total(value) if isinstance(kind, T.LongType) else _summed(item, value, kind)

    def merge(inside: Column) -> Column:
        rows = count.merge(inside)
        return F.when(rows > 0, total.merge(inside).cast("double") / rows)

    return Lowering(
        partials={**total.partials, **count.partials},
        combine={**total.combine, **count.combine},
        merge=merge,
        is_ordered=total.is_ordered,
    )


def _spread(function: Function, value: str) -> Lowering:
    """Merge (count, mean, sum of squared deviations) of tiles in time order, by Chan, Golub and LeVeque's formula."""
    name, v = f"{value}_spread", F.col(value).cast("double")
    moments = {"n": F.count(value).cast("double"), "mean": F.avg(v), "squares": F.var_pop(v) * F.count(value)}

    def add(total: Column, tile: Column) -> Column:
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

    def fold(at: str, inside: Column, result: Callable[[Column], Column]) -> Column:
        part = F.struct(F.col(at).alias("at"), *(F.col(name)[moment].alias(moment) for moment in moments))
        parts = F.sort_array(F.collect_list(F.when(inside & F.col(name).isNotNull(), part)))
        zero = F.struct(*(F.lit(0.0).alias(moment) for moment in moments))
        return F.aggregate(parts, zero, add, result)

    return Lowering(
        partials={name: F.when(F.count(value) > 0, F.struct(*(moment.alias(m) for m, moment in moments.items())))},
        combine={name: fold(CHILD, F.lit(True), lambda total: F.when(total["n"] > 0, total))},
        merge=lambda inside: fold(TILE, inside, finish),
        is_ordered=True,
    )


def _extreme(
    name: str, value: Column, pick: Callable[[Column], Column], finish: Callable[[Column], Column] | None = None
) -> Lowering:
    def merge(inside: Column) -> Column:
        best = pick(F.when(inside, F.col(name)))
        return finish(best) if finish else best

    return Lowering(partials={name: pick(value)}, combine={name: pick(F.col(name))}, merge=merge)


def _stamped(value: str) -> Column:
    return F.when(F.col(value).isNotNull(), F.struct(F.col(AT).alias("at"), F.col(value).alias("v")))


def _nearest(item: AggregationNode, value: str, *, ascending: bool) -> Lowering:
    k = item.k or 1
    name = f"{value}_{'first' if ascending else 'last'}_{k}"

    def nearest(entries: Column) -> Column:
        return F.slice(F.sort_array(entries, asc=ascending), 1, k)

    def merge(inside: Column) -> Column:
        best = nearest(F.flatten(F.collect_list(F.when(inside, F.col(name)))))
        return unless_empty(F.transform(best, lambda entry: entry["v"]))

    return Lowering(
        partials={name: nearest(F.collect_list(_stamped(value)))},
        combine={name: nearest(F.flatten(F.collect_list(name)))},
        merge=merge,
    )


def unless_empty(values: Column) -> Column:
    """Give null for an empty list."""
    return F.when(F.size(values) > 0, values)
