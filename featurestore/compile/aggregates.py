"""Aggregations: default names, the columns they take, and the types they give."""

from __future__ import annotations

from datetime import timedelta

from featurestore.intervals import show_duration
from featurestore.spec.aggregation import Aggregation, AggregationFunction
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    String,
    Timestamp,
)

__all__ = ["accepted_types", "default_name", "is_lossless", "output_dtype"]

_INTEGERS = (Int32, Int64)
_FLOATS = (Float32, Float64)
_ORDERED = (*_INTEGERS, *_FLOATS, String, Timestamp, Date, Bool)


def default_name(aggregation: Aggregation) -> str:
    """Name the feature ``<column>_<function>_<window>``: ``clicked_sum_7d``, ``count_1h``, ``price_last_lifetime``."""
    window = "lifetime" if aggregation.window is None else _show_window(aggregation.window)
    column = [] if aggregation.column is None else [aggregation.column]
    return "_".join([*column, aggregation.function, window])


def output_dtype(function: AggregationFunction, column: DType | None) -> DType | None:
    """Give the type of ``function`` over values of type ``column`` (None: over rows); None where it does not apply."""
    match function:
        case AggregationFunction.COUNT:
            return Int64
        case AggregationFunction.COUNT_DISTINCT:
            return Int64 if _is_ordered(column) else None
        case AggregationFunction.APPROX_COUNT_DISTINCT:
            return None if column is None or isinstance(column, Map | Array) else Int64
        case AggregationFunction.SUM:
            if isinstance(column, Decimal):
                return Decimal(min(38, column.precision + 10), column.scale)
            return Int64 if column in _INTEGERS else Float64 if column in _FLOATS else None
        case (
            AggregationFunction.MEAN
            | AggregationFunction.VAR_POP
            | AggregationFunction.VAR_SAMP
            | AggregationFunction.STDDEV_POP
            | AggregationFunction.STDDEV_SAMP
            | AggregationFunction.APPROX_PERCENTILE
        ):
            return Float64 if column in (*_INTEGERS, *_FLOATS) or isinstance(column, Decimal) else None
        case AggregationFunction.MIN | AggregationFunction.MAX:
            return column if column in _ORDERED or isinstance(column, Decimal) else None
        case AggregationFunction.FIRST | AggregationFunction.LAST:
            return column if _is_ordered(column) else None
        case AggregationFunction.FIRST_K | AggregationFunction.LAST_K | AggregationFunction.TOP_K:
            return Array(column) if column is not None and _is_ordered(column) else None
        case AggregationFunction.HISTOGRAM:
            return Map(String, Int64) if column in (*_INTEGERS, String, Bool, Date) else None


def accepted_types(function: AggregationFunction) -> str:
    """Say which columns ``function`` takes, for a message."""
    match function:
        case AggregationFunction.SUM:
            return "integer, float and decimal columns"
        case AggregationFunction.MIN | AggregationFunction.MAX:
            return "number, string, bool, date and timestamp columns"
        case AggregationFunction.HISTOGRAM:
            return "string, integer, bool and date columns"
        case (
            AggregationFunction.COUNT_DISTINCT
            | AggregationFunction.FIRST
            | AggregationFunction.LAST
            | AggregationFunction.FIRST_K
            | AggregationFunction.LAST_K
            | AggregationFunction.TOP_K
        ):
            return "columns of any type but map"
        case AggregationFunction.APPROX_COUNT_DISTINCT:
            return "columns of any type but map and array"
        case _:
            return "number columns"


def _is_ordered(column: DType | None) -> bool:
    """Say whether values have an order, which breaks ties; a map has none, nor has an array of maps."""
    return _is_ordered(column.element) if isinstance(column, Array) else not isinstance(column, Map | None)


def is_lossless(found: DType, wanted: DType) -> bool:
    """Say whether every value of ``found`` is a value of ``wanted``."""
    match found, wanted:
        case Array(element=inner), Array(element=outer):
            return is_lossless(inner, outer)
        case Decimal(precision=p, scale=s), Decimal(precision=q, scale=t):
            return t >= s and q - t >= p - s
    wider: dict[DType, tuple[DType, ...]] = {
        Int32: (Int64, Float64, Decimal(38, 0)),
        Int64: (Decimal(38, 0),),
        Float32: (Float64,),
        Bool: (Int32, Int64),
    }
    return found == wanted or wanted in wider.get(found, ())


def _show_window(window: timedelta) -> str:
    return show_duration(window).replace(" ", "")
