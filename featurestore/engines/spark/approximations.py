"""Approximate aggregations as counts of cells, so that they merge exactly: log buckets and HyperLogLog registers.

An input value falls into a cell, a 64-bit number; a window's value is computed from how often each cell occurs in it.
Cells of tiles add up, so neither the order of events nor the split into tiles shows in the result. What each cell
means is defined in docs/aggregations.md, and computed once more, in plain Python, by ``engines.reference``.
"""

from __future__ import annotations

import math

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

__all__ = ["distinct_cell", "estimate_distinct", "percentile_of", "quantile_cell"]

_ACCURACY = 0.01
_GAMMA = (1 + _ACCURACY) / (1 - _ACCURACY)
_OFFSET = 40_000
_INFINITE, _NAN = 100_000, 200_000
_REGISTER_BITS = 14
_REGISTERS = 1 << _REGISTER_BITS
_RANK_BITS = 6
_BETA = (
    -0.370393911,
    0.070471823,
    0.17393686,
    0.16339839,
    -0.09237745,
    0.03738027,
    -0.005384159,
    0.00042419,
)


def quantile_cell(value: Column) -> Column:
    """Give the log bucket of a number: in the order of numbers, 0 for zero, and own ones for infinities and NaN."""
    number = value.cast("double")
    index = F.ceil(F.log(F.abs(number)) / F.lit(math.log(_GAMMA))) + _OFFSET
    finite = F.when(number == 0, F.lit(0)).otherwise(F.signum(number).cast("bigint") * index)
    infinite = F.signum(number).cast("bigint") * _INFINITE
    cell = F.when(F.isnan(number), F.lit(_NAN)).when(F.abs(number) == math.inf, infinite).otherwise(finite)
    return F.when(number.isNotNull(), cell).cast("bigint")


def percentile_of(cell: Column, count: Column, percentile: float) -> Column:
    """Aggregate cells to the middle of the one that holds rank ``floor(percentile * (n - 1))``, counted from 0."""
    cells = F.sort_array(F.collect_list(F.when(count.isNotNull(), F.struct(cell.alias("cell"), count.alias("n")))))
    rank = F.floor(F.lit(percentile) * (F.sum(count) - 1))

    def pass_by(state: Column, entry: Column) -> Column:
        seen = state["seen"] + entry["n"]
        found = F.when(state["found"].isNull() & (seen > state["rank"]), entry["cell"]).otherwise(state["found"])
        return F.struct(seen.alias("seen"), found.alias("found"), state["rank"].alias("rank"))

    start = F.struct(
        F.lit(0).cast("bigint").alias("seen"), F.lit(None).cast("bigint").alias("found"), rank.alias("rank")
    )
    return F.aggregate(cells, start, pass_by, lambda state: _middle(state["found"]))


def _middle(cell: Column) -> Column:
    """Give the number that is within the accuracy of all numbers of a bucket."""
    index = F.abs(cell) - _OFFSET
    size = F.lit(2.0 / (_GAMMA + 1)) * F.pow(F.lit(_GAMMA), index.cast("double"))
    special = F.when(cell == 0, F.lit(0.0)).when(cell == _NAN, F.lit(math.nan))
    infinite = special.when(F.abs(cell) == _INFINITE, F.signum(cell) * F.lit(math.inf))
    return F.when(cell.isNotNull(), infinite.otherwise(F.signum(cell) * size))


def distinct_cell(value: Column, kind: T.DataType) -> Column:
    """Give the HyperLogLog register that a value falls into, and the rank that it brings there, as one number."""
    digest = F.xxhash64(_hashed(value, kind))
    register = digest.bitwiseAND(F.lit(_REGISTERS - 1).cast("bigint"))
    rest = F.shiftrightunsigned(digest, _REGISTER_BITS)
    bits = 64 - _REGISTER_BITS
    # The length of the rest in binary; its leading zeros in `bits` bits, plus one, are the rank.
    length = F.when(rest == 0, F.lit(0)).otherwise(F.length(F.bin(rest)))
    rank = F.lit(bits + 1) - length
    cell = F.shiftleft(register, _RANK_BITS) + rank
    return F.when(value.isNotNull(), cell.cast("bigint"))


def _hashed(value: Column, kind: T.DataType) -> Column:
    """Give what stands for a value of Spark type ``kind``: equal values of all widths alike."""
    match kind:
        case T.StringType() | T.BinaryType():
            return value
        case T.FloatType() | T.DoubleType():
            return value.cast("double")
        case T.DecimalType():
            text = value.cast("string")
            return F.when(text.contains("."), F.regexp_replace(text, r"\.?0+$", "")).otherwise(text)
        case T.DateType():
            return F.unix_date(value).cast("bigint")
        case T.TimestampType():
            return F.unix_micros(value)
        case _:
            return value.cast("bigint")


def estimate_distinct(cell: Column, count: Column) -> Column:
    """Aggregate cells to the number of different values, by the LogLog-Beta estimator (Qin, Kim and Tung, 2016)."""
    cells = F.sort_array(F.collect_list(F.when(count.isNotNull(), cell)))
    # One pass from the highest cell down: the first one of each register has its greatest rank.
    start = F.struct(
        F.lit(-1).cast("bigint").alias("register"), F.lit(0).cast("bigint").alias("used"), F.lit(0.0).alias("total")
    )

    def pass_by(state: Column, entry: Column) -> Column:
        register = F.shiftright(entry, _RANK_BITS)
        rank = entry.bitwiseAND(F.lit((1 << _RANK_BITS) - 1).cast("bigint"))
        more = F.struct(
            register.alias("register"),
            (state["used"] + 1).alias("used"),
            (state["total"] + F.pow(F.lit(2.0), -rank.cast("double"))).alias("total"),
        )
        return F.when(register == state["register"], state).otherwise(more)

    return F.aggregate(F.reverse(cells), start, pass_by, _estimate)


def _estimate(state: Column) -> Column:
    empty = (F.lit(_REGISTERS) - state["used"]).cast("double")
    log = F.log(empty + 1)
    beta = F.lit(_BETA[0]) * empty
    for power, factor in enumerate(_BETA[1:], 1):
        beta = beta + F.lit(factor) * F.pow(log, F.lit(float(power)))
    alpha = 0.7213 / (1 + 1.079 / _REGISTERS)
    estimate = F.lit(alpha * _REGISTERS) * (F.lit(_REGISTERS) - empty) / (beta + empty + state["total"])
    return F.when(state["used"] == 0, F.lit(0)).otherwise(F.round(estimate)).cast("bigint")
