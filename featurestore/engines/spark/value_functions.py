"""Functions over how often each value, or cell, occurs: what they count, and the value of a window."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.spark.aggregations import unless_empty
from featurestore.engines.spark.approximations import (
    distinct_cell,
    estimate_distinct,
    percentile_of,
    quantile_cell,
)
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction as Function

__all__ = ["VALUE_FUNCTIONS", "cell", "lower_values"]

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
            return unless_empty(F.transform(best, lambda entry: entry["v"]))
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
