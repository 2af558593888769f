"""Each aggregation over the rows of one window, in the words of its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal as DecimalValue
from fractions import Fraction
from typing import Any, assert_never

from featurestore.engines.reference.approximations import approximate_distinct, approximate_percentile
from featurestore.engines.reference.values import rank
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Array, Decimal, DType, Float64, Int64, show_dtype

__all__ = ["WindowRow", "aggregate"]

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One event of a window: when it happened, when it was stated (None where unknown), the aggregated column."""

    timestamp: datetime
    created: datetime | None
    value: Any


def aggregate(node: AggregationNode, rows: Sequence[WindowRow]) -> Any:
    """Compute one feature over a window's rows, given in any order; no rows give 0 for counts, else None.

    A count without column takes rows whose value is anything but None. -0.0 is read as 0.0. OverflowError
    where an integer sum does not fit int64, or a decimal sum its type; ValueError where there are more distinct values
    than ``limit``.
    """
    ordered = sorted((row for row in rows if row.value is not None), key=_tie_rule)
    values = [_read(row.value) for row in ordered]
    if not values and node.function not in _COUNTS:
        return None
    return _as_dtype(_compute(node, values), node.dtype)


_COUNTS = (AggregationFunction.COUNT, AggregationFunction.COUNT_DISTINCT, AggregationFunction.APPROX_COUNT_DISTINCT)


def _tie_rule(row: WindowRow) -> tuple[Any, ...]:
    return (row.timestamp, rank(row.created), rank(_read(row.value)))


def _read(value: Any) -> Any:
    return value + 0.0 if isinstance(value, float) else value


def _compute(node: AggregationNode, values: list[Any]) -> Any:
    """Apply the function to values without nulls, oldest first."""
    match node.function:
        case AggregationFunction.COUNT:
            return len(values)
        case AggregationFunction.SUM:
            return _sum(node, values)
        case AggregationFunction.MEAN:
            return _mean(values)
        case AggregationFunction.MIN:
            return min(values, key=rank)
        case AggregationFunction.MAX:
            return max(values, key=rank)
        case AggregationFunction.VAR_POP:
            return _variance(values, len(values))
        case AggregationFunction.VAR_SAMP:
            return _variance(values, len(values) - 1)
        case AggregationFunction.STDDEV_POP:
            return _root(_variance(values, len(values)))
        case AggregationFunction.STDDEV_SAMP:
            return _root(_variance(values, len(values) - 1))
        case AggregationFunction.FIRST:
            return values[0]
        case AggregationFunction.LAST:
            return values[-1]
        case AggregationFunction.FIRST_K:
            return values[: node.k]
        case AggregationFunction.LAST_K:
            return values[::-1][: node.k]
        case AggregationFunction.COUNT_DISTINCT:
            return len(_occurrences(node, values))
        case AggregationFunction.TOP_K:
            return _most_frequent(node, values)
        case AggregationFunction.HISTOGRAM:
            return {_text(found[-1]): len(found) for found in _occurrences(node, values).values()}
        case AggregationFunction.APPROX_COUNT_DISTINCT:
            return approximate_distinct(values)
        case AggregationFunction.APPROX_PERCENTILE:
            assert node.percentile is not None, "compile asks for it"
            return approximate_percentile(values, node.percentile)
        case _:
            assert_never(node.function)


def _sum(node: AggregationNode, values: list[Any]) -> Any:
    if isinstance(values[0], float):
        return _nearest(sum(map(Fraction, values), Fraction(0))) if all(map(math.isfinite, values)) else sum(values)
    total = sum(map(Fraction, values), Fraction(0))
    if isinstance(node.dtype, Decimal) and isinstance(values[0], DecimalValue):
        if abs(total) * 10**node.dtype.scale >= 10**node.dtype.precision:
            raise OverflowError(f"feature {node.name!r}: the sum {total} does not fit {show_dtype(node.dtype)}")
        return total
    if int(total) not in _INT64:
        raise OverflowError(f"feature {node.name!r}: the sum {total} does not fit int64")
    return int(total)


def _mean(values: list[Any]) -> float:
    if not all(math.isfinite(value) for value in values):
        return float(sum(values)) / len(values)
    return _nearest(sum(map(Fraction, values), Fraction(0)) / len(values))


def _variance(values: list[Any], divisor: int) -> float | None:
    """Give the mean square distance from the mean; None where there are too few values, NaN beside infinities."""
    if divisor < 1:
        return None
    if not all(math.isfinite(value) for value in values):
        return math.nan
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    return _nearest(sum(((value - mean) ** 2 for value in exact), Fraction(0)) / divisor)


def _nearest(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


def _occurrences(node: AggregationNode, values: list[Any]) -> dict[tuple[Any, ...], list[Any]]:
    """Group equal values; each group and the groups themselves in order of time."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for value in values:
        groups.setdefault(rank(value), []).append(value)
    if node.limit is not None and len(groups) > node.limit:
        raise ValueError(f"feature {node.name!r}: {len(groups)} distinct values, limit={node.limit}")
    return groups


def _most_frequent(node: AggregationNode, values: list[Any]) -> list[Any]:
    groups = _occurrences(node, values)
    last_seen = {rank(value): position for position, value in enumerate(values)}
    order = sorted(groups, key=lambda group: (len(groups[group]), last_seen[group]), reverse=True)
    return [groups[group][-1] for group in order[: node.k]]


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def _as_dtype(value: Any, dtype: DType) -> Any:
    """Give a result in the declared type, which holds every value of the function's own."""
    match dtype, value:
        case _, None:
            return None
        case Array(element=element), list():
            return [_as_dtype(item, element) for item in value]
        case Decimal(scale=scale), int() | DecimalValue() | Fraction():
            units = Fraction(value) * 10**scale
            return DecimalValue((int(units < 0), tuple(map(int, str(abs(units.numerator)))), -scale))
        case _ if dtype == Float64:
            return float(value)
        case _ if dtype == Int64:
            return int(value)
        case _:
            return value
