"""Approximate aggregations of the oracle: known hashes, and errors within what the page promises."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.engines.reference.approximations import approximate_distinct, approximate_percentile, xxh64

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"The quick brown fox jumps over the lazy dog", 0x0B242D361FDA71BC),
    ],
)
def test_xxh64_gives_the_published_digests(data: bytes, digest: int) -> None:
    assert xxh64(data, seed=0) == digest


@pytest.mark.parametrize("distinct", [0, 1, 2, 10, 100, 1_000, 5_000, 20_000, 60_000])
def test_the_estimate_is_within_three_standard_errors(distinct: int) -> None:
    values = [number * 7 + 3 for number in range(distinct)]
    assert abs(approximate_distinct([*values, *values[:100]]) - distinct) <= 3 * 0.0081 * distinct


@given(st.lists(FINITE, min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_is_within_one_percent_of_the_value_at_its_rank(values: list[float], percentile: float) -> None:
    exact = sorted(values)[math.floor(percentile * (len(values) - 1))]
    found = approximate_percentile(values, percentile)
    assert abs(found - exact) <= 0.01001 * abs(exact)


def test_special_numbers_have_buckets_of_their_own() -> None:
    values = [math.nan, math.inf, 0.0, -math.inf, -1.0]
    found = [approximate_percentile(values, rank / 4) for rank in range(5)]
    assert found[0] == -math.inf and found[2:4] == [0.0, math.inf] and math.isnan(found[4])
    assert found[1] == pytest.approx(-1.0, rel=0.0101)


def test_equal_values_count_once_whatever_their_spelling() -> None:
    assert approximate_distinct([Decimal("1.50"), Decimal("1.5"), Decimal(100), Decimal("1E+2")]) == 2
    assert approximate_distinct([math.nan, -math.nan, 1.0]) == 2
    assert approximate_distinct([True, False, True]) == 2
    assert approximate_distinct([date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)]) == 2
    assert approximate_distinct([datetime(2026, 1, 1, tzinfo=UTC)] * 2) == 1
    assert approximate_distinct([b"1", b"2"]) == 2
