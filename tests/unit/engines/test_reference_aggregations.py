"""The oracle's aggregations by examples worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any

import pytest

from featurestore.compile.aggregates import output_dtype
from featurestore.engines.reference.aggregations import WindowRow, aggregate
from featurestore.engines.reference.values import same
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction as F
from featurestore.spec.dtypes import Array, Bool, Date, Decimal, DType, Float64, Int64, String

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NAN = math.nan


def node(function: F, column: DType = Int64, **overrides: Any) -> AggregationNode:
    dtype = output_dtype(function, column)
    assert dtype is not None
    values: dict[str, Any] = {"name": "f", "function": function, "column": "v", "window": None, "dtype": dtype}
    return AggregationNode(**(values | overrides))


def rows(*values: Any) -> list[WindowRow]:
    """Rows a minute apart, in order."""
    return [
        WindowRow(timestamp=T0 + timedelta(minutes=minute), created=None, value=value)
        for minute, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (F.COUNT, [1, None, 3], 2),
        (F.SUM, [1, None, 3], 4),
        (F.MEAN, [1, None, 2], 1.5),
        (F.MIN, [3, 1, None, 2], 1),
        (F.MAX, [3, 1, None, 2], 3),
        (F.VAR_POP, [1, 2, 3, 4], 1.25),
        (F.VAR_SAMP, [1, 2, 3, 4], 5 / 3),
        (F.STDDEV_POP, [2, 4, 4, 4, 5, 5, 7, 9], 2.0),
        (F.STDDEV_SAMP, [1, 3], math.sqrt(2)),
        (F.FIRST, [None, 5, 6], 5),
        (F.LAST, [5, 6, None], 6),
        (F.COUNT_DISTINCT, [1, 1, None, 2], 2),
        (F.HISTOGRAM, [7, 7, None, 8], {"7": 2, "8": 1}),
    ],
)
def test_nulls_are_skipped(function: F, values: list[Any], expected: Any) -> None:
    assert same(aggregate(node(function), rows(*values)), expected)


def test_first_k_is_oldest_first_and_last_k_newest_first() -> None:
    assert aggregate(node(F.FIRST_K, k=2), rows(1, None, 2, 3)) == [1, 2]
    assert aggregate(node(F.LAST_K, k=2), rows(1, 2, None, 3)) == [3, 2]
    assert aggregate(node(F.LAST_K, k=9), rows(1, 2)) == [2, 1]


def test_top_k_breaks_equal_counts_by_the_latest_seen() -> None:
    assert aggregate(node(F.TOP_K, String, k=2), rows("a", "b", "b", "c", "a", "c", "d")) == ["c", "a"]


@pytest.mark.parametrize("function", F)
@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_to_aggregate_is_0_for_counts_and_null_for_the_rest(function: F, values: list[Any]) -> None:
    expected = 0 if function in (F.COUNT, F.COUNT_DISTINCT, F.APPROX_COUNT_DISTINCT) else None
    assert same(aggregate(node(function, k=1, percentile=0.5), rows(*values)), expected)


def test_variances_of_one_row_are_0_for_the_population_and_null_for_a_sample() -> None:
    one = rows(3)
    found = [aggregate(node(function), one) for function in (F.VAR_POP, F.STDDEV_POP, F.VAR_SAMP, F.STDDEV_SAMP)]
    assert found == [0.0, 0.0, None, None]


def test_ties_break_by_created_then_value() -> None:
    def row(created: int, value: int) -> WindowRow:
        return WindowRow(timestamp=T0, created=T0 + timedelta(hours=created), value=value)

    tied = [row(2, 1), row(1, 9), row(2, 3)]
    for order in (tied, tied[::-1]):
        assert aggregate(node(F.FIRST), order) == 9
        assert aggregate(node(F.LAST), order) == 3
        assert aggregate(node(F.LAST_K, k=3), order) == [3, 1, 9]


def test_nan_is_greater_than_every_number_and_equals_itself() -> None:
    assert aggregate(node(F.MIN, Float64), rows(NAN, math.inf)) == math.inf
    assert same(aggregate(node(F.MAX, Float64), rows(NAN, math.inf)), NAN)
    assert aggregate(node(F.COUNT_DISTINCT, Float64), rows(NAN, -NAN, 1.0)) == 2
    assert same(aggregate(node(F.TOP_K, Float64, k=1), rows(NAN, 1.0, NAN)), [NAN])
    for function in (F.SUM, F.MEAN, F.VAR_POP, F.STDDEV_SAMP):
        assert same(aggregate(node(function, Float64), rows(1.0, NAN, 2.0)), NAN)


def test_negative_zero_is_read_as_zero() -> None:
    zeros = rows(-0.0, 0.0, -0.0)
    for function in (F.MIN, F.MAX, F.FIRST, F.LAST, F.SUM):
        assert same(aggregate(node(function, Float64), zeros), 0.0)
    assert aggregate(node(F.COUNT_DISTINCT, Float64), zeros) == 1
    assert same(aggregate(node(F.LAST_K, Float64, k=1), zeros), [0.0])


def test_values_are_the_same_by_bits() -> None:
    assert same(NAN, -NAN)
    assert not same(0.0, -0.0)
    assert not same([0.0], [-0.0])
    assert not same(None, 0)
    assert same({"b": 1, "a": None}, {"a": None, "b": 1})


def test_infinities() -> None:
    assert aggregate(node(F.SUM, Float64), rows(math.inf, 1.0)) == math.inf
    assert same(aggregate(node(F.SUM, Float64), rows(math.inf, -math.inf)), NAN)
    assert same(aggregate(node(F.VAR_POP, Float64), rows(math.inf)), NAN)


def test_an_integer_sum_beyond_int64_is_an_error() -> None:
    assert aggregate(node(F.SUM), rows(2**63 - 2, 1)) == 2**63 - 1
    with pytest.raises(OverflowError, match=r"feature 'f': the sum 9223372036854775808 does not fit int64"):
        aggregate(node(F.SUM), rows(2**63 - 1, 1))


def test_decimal_sums_are_exact_in_the_wider_type() -> None:
    found = aggregate(node(F.SUM, Decimal(4, 2)), rows(Number("99.99"), Number("0.02")))
    assert str(found) == "100.01"
    wide = node(F.SUM, Decimal(38, 0))
    with pytest.raises(OverflowError, match=r"does not fit decimal\(38,0\)"):
        aggregate(wide, rows(Number(10**38 - 1), Number(1)))


def test_more_distinct_values_than_the_limit_is_an_error() -> None:
    assert aggregate(node(F.COUNT_DISTINCT, limit=2), rows(1, 2, 1)) == 2
    for function in (F.COUNT_DISTINCT, F.HISTOGRAM):
        with pytest.raises(ValueError, match="3 distinct values, limit=2"):
            aggregate(node(function, limit=2), rows(1, 2, 3))


def test_histograms_name_values_as_text() -> None:
    assert aggregate(node(F.HISTOGRAM, Bool), rows(True, False, True)) == {"true": 2, "false": 1}
    assert aggregate(node(F.HISTOGRAM, Date), rows(date(2026, 1, 31))) == {"2026-01-31": 1}
    assert aggregate(node(F.HISTOGRAM, String), rows("", "null")) == {"": 1, "null": 1}


def test_a_declared_type_that_is_wider_holds_the_result() -> None:
    assert str(aggregate(node(F.SUM, dtype=Decimal(38, 0)), rows(1, 2))) == "3"
    assert aggregate(node(F.LAST_K, k=2, dtype=Array(Float64)), rows(1, 2)) == [2.0, 1.0]
