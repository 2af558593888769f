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

__all__ = ["AT", "CHILD", "Lowering", "Members", "lower", "unless_empty"]

AT = "__at"
"""Event column: struct of (event time, created time), the order of events before value."""
CHILD = "__child"
"""Start of the finer tile that goes into a coarser one."""

_LOW_BITS = 0xFFFF_FFFF
_FLOATS = (T.FloatType, T.DoubleType)
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_MOST_KEPT = 100_000
"""Greatest k of Spark's ``min_by`` and ``max_by``."""
_SUMMED_DIGITS, _MOST_DIGITS = 10, 38
"""By how much a decimal sum is wider than what it sums, and Spark's greatest width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Which tiles a window consists of: those ``inside``, less those ``taken`` away from a longer one.

    Nothing is ever taken away for a lowering that is not exact.
    """

    inside: Column
    taken: Column | None = None

    def sum(self, name: str) -> Column:
        """Add up an integer partial; null where no tile has it."""
        signed = F.when(self.inside, F.col(name))
        return F.sum(signed if self.taken is None else signed.when(self.taken, -F.col(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """``partials`` are aggregates of events by name; ``combine`` aggregates finer tiles to the same columns.

    ``merge`` takes a window's tiles to its value. ``is_ordered``: all three fold floats, so they need their rows in
    order of time. ``is_exact``: the partials are integers that add up, and can be taken away again. Each partial is
    computed by itself, so rows that have only some of them add up.
    """

    partials: Mapping[str, Column]
    combine: Mapping[str, Column]
    merge: Callable[[Members], Column]
    is_ordered: bool = False
    is_exact: bool = False


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
            return _mean(value, kind)
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
        merge=lambda members: F.coalesce(members.sum(name), F.lit(0)),
        is_exact=True,
    )


def _summed(item: AggregationNode, value: str, kind: T.DataType) -> Lowering:
    if not isinstance(kind, _INTEGERS):
        return _summed_in_order(value, kind)
    count, total = _counted(value), _total(value, kind)
    message = f"feature {item.name!r}: the sum of {item.column!r} is outside int64; declare a float or decimal column"

    def merge(members: Members) -> Column:
        exact = total.merge(members)
        is_lost = F.raise_error(F.lit(message)).cast("bigint")
        fitting = F.when(exact.try_cast("bigint").isNotNull(), exact.try_cast("bigint")).otherwise(is_lost)
        return F.when(count.merge(members) > 0, fitting)

    return _beside(count, total, merge)


def _summed_in_order(value: str, kind: T.DataType) -> Lowering:
    """Sum floats and decimals, which are never taken away again."""
    name, is_decimal = f"{value}_sum", isinstance(kind, T.DecimalType)
    wide: T.DataType = T.DoubleType()
    if isinstance(kind, T.DecimalType):
        wide = T.DecimalType(min(kind.precision + _SUMMED_DIGITS, _MOST_DIGITS), kind.scale)
    return Lowering(
        partials={name: F.sum(F.col(value) if is_decimal else F.col(value).cast(wide))},
        combine={name: F.sum(name).cast(wide)},
        merge=lambda members: F.sum(F.when(members.inside, F.col(name))),
        is_ordered=not is_decimal,
    )


def _total(value: str, kind: T.DataType) -> Lowering:
    """Sum integers exactly; of 64 bits the upper and lower 32 apart, so that neither can overflow."""
    if not isinstance(kind, T.LongType):
        name = f"{value}_sum"
        return Lowering(
            partials={name: F.sum(F.col(value).cast("bigint"))},
            combine={name: F.sum(name)},
            merge=lambda members: members.sum(name),
            is_exact=True,
        )
    high, low = f"{value}_sum_high", f"{value}_sum_low"
    partials = {
        high: F.sum(F.shiftright(F.col(value), 32)),
        low: F.sum(F.col(value).bitwiseAND(F.lit(_LOW_BITS).cast("bigint"))),
    }

    def total(members: Members) -> Column:
        upper, lower = (members.sum(name).cast("decimal(20,0)") for name in (high, low))
        return upper * F.lit(_LOW_BITS + 1).cast("decimal(10,0)") + lower

    return Lowering(partials=partials, combine={name: F.sum(name) for name in (high, low)}, merge=total, is_exact=True)


def _mean(value: str, kind: T.DataType) -> Lowering:
    count = _counted(value)
    total = _total(value, kind) if isinstance(kind, _INTEGERS) else _summed_in_order(value, kind)

    def merge(members: Members) -> Column:
        rows = count.merge(members)
        return F.when(rows > 0, total.merge(members).cast("double") / rows)

    return _beside(count, total, merge)


def _beside(count: Lowering, total: Lowering, merge: Callable[[Members], Column]) -> Lowering:
    return replace(
        total, partials={**total.partials, **count.partials}, combine={**total.combine, **count.combine}, merge=merge
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
        merge=lambda members: fold(TILE, members.inside, finish),
        is_ordered=True,
    )


def _extreme(
    name: str, value: Column, pick: Callable[[Column], Column], finish: Callable[[Column], Column] | None = None
) -> Lowering:
    def merge(members: Members) -> Column:
        best = pick(F.when(members.inside, F.col(name)))
        return finish(best) if finish else best

    return Lowering(partials={name: pick(value)}, combine={name: pick(F.col(name))}, merge=merge)


def _stamped(value: str) -> Column:
    return F.when(F.col(value).isNotNull(), F.struct(F.col(AT).alias("at"), F.col(value).alias("v")))


def _nearest(item: AggregationNode, value: str, *, ascending: bool) -> Lowering:
    k = item.k or 1
    name = f"{value}_{'first' if ascending else 'last'}_{k}"

    def nearest(entries: Column) -> Column:
        return F.slice(F.sort_array(entries, asc=ascending), 1, k)

    def merge(members: Members) -> Column:
        best = nearest(F.flatten(F.collect_list(F.when(members.inside, F.col(name)))))
        return unless_empty(F.transform(best, lambda entry: entry["v"]))

    return Lowering(
        partials={name: nearest(_candidates(_stamped(value), k, ascending=ascending))},
        combine={name: nearest(F.flatten(F.collect_list(name)))},
        merge=merge,
    )


def _candidates(entry: Column, k: int, *, ascending: bool) -> Column:
    """Gather the nearest ``k`` entries; all of them for a k that is too great for Spark's own functions."""
    if k > _MOST_KEPT:
        return F.collect_list(entry)
    return F.min_by(entry, entry, k) if ascending else F.max_by(entry, entry, k)


def unless_empty(values: Column) -> Column:
    """Give null for an empty list."""
    return F.when(F.size(values) > 0, values)
