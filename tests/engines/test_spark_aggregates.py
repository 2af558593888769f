"""Windows in Spark, each case small enough to check by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from featurestore.engines.reference.approximations import approximate_distinct, approximate_percentile
from featurestore.engines.spark.tiles import hop_micros
from featurestore.errors import SchemaMismatch, StateError
from featurestore.ir.nodes import AggregationNode, Aggregations, ViewNode
from featurestore.ir.schedule import parse_schedule
from featurestore.spec.dtypes import Array, DType, Float64, Int64, Map, String, Timestamp
from tests.support.engine_runs import (
    EVENTS,
    aggregation,
    compute,
    engine_of,
    file_source,
    instant,
    run,
    view_of,
    write_events,
)

pytestmark = pytest.mark.spark

NAN = float("nan")


def windows(*items: AggregationNode, **overrides: Any) -> ViewNode:
    return view_of({item.name: item.dtype for item in items}, Aggregations(items=items), **overrides)


def event(
    key: int | None, at: str, n: int | None = None, x: float | None = None, s: str | None = None
) -> tuple[Any, ...]:
    return (key, instant(at), n, x, s)


COUNT = aggregation("rows", "count", None, 1, Int64)
SUM = aggregation("total", "sum", "n", 2, Int64)
VIEW = windows(COUNT, SUM)
HISTORY = [
    event(1, "01 00:00", 5),
    event(1, "01 23:59", 7),
    event(1, "04 12:00", 1),
    event(2, "02 00:00", None),
    event(None, "02 00:00", 9),
]


def test_rows_appear_when_values_change_and_once_more_when_windows_run_empty(
    spark: SparkSession, tmp_path: Path
) -> None:
    assert run(spark, tmp_path, HISTORY, VIEW, "01", "08") == [
        (1, "02 00:00", 2, 12),
        (1, "03 00:00", 0, 12),
        (1, "04 00:00", 0, None),
        (1, "05 00:00", 1, 1),
        (1, "06 00:00", 0, 1),
        (1, "07 00:00", 0, None),
        (2, "03 00:00", 1, None),
        (2, "04 00:00", 0, None),
    ]


def test_any_split_gives_the_rows_of_the_whole(spark: SparkSession, tmp_path: Path) -> None:
    whole = run(spark, tmp_path, HISTORY, VIEW, "01", "08")
    parts = [
        row
        for start, end in (("01", "02"), ("02", "05"), ("05", "08"))
        for row in run(spark, tmp_path, HISTORY, VIEW, start, end, first=start == "01")
    ]
    assert sorted(parts) == whole


def test_the_first_step_of_a_stretch_has_a_row_for_each_key_that_has_or_had_events(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [event(1, "03 01:00", 5), event(2, "02 01:00", 5), event(3, "01 01:00", 5)]
    view = windows(aggregation("total", "sum", "n", 2, Int64))
    changed = [(1, "04 00:00", 5), (3, "04 00:00", None)]
    assert run(spark, tmp_path, rows, view, "03", "04", first=False) == changed
    assert run(spark, tmp_path, rows, view, "03", "04", first=True) == sorted([*changed, (2, "04 00:00", 5)])


def test_a_hole_filled_later_leaves_no_value_that_holds_too_long(spark: SparkSession, tmp_path: Path) -> None:
    """Day 03 runs before day 02: the key that runs empty in day 03 says so then."""
    view = windows(COUNT, aggregation("total", "sum", "n", 2, Int64))
    rows = [event(1, "01 12:00", 5), event(2, "03 12:00", 6)]
    whole = run(spark, tmp_path, rows, view, "01", "06")
    parts = [
        row
        for start, end, first in (("01", "02", True), ("03", "04", True), ("02", "03", False), ("04", "06", False))
        for row in run(spark, tmp_path, rows, view, start, end, first=first)
    ]
    assert (1, "04 00:00", 0, None) in whole
    assert sorted(parts) == whole


def test_a_key_that_only_had_nulls_has_a_row_with_counts_0(spark: SparkSession, tmp_path: Path) -> None:
    view = windows(aggregation("values", "count", "n", 1, Int64), aggregation("total", "sum", "n", 1, Int64))
    assert run(spark, tmp_path, [event(1, "01 01:00")], view, "01", "04") == [(1, "02 00:00", 0, None)]


def test_every_exact_function(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        event(1, "01 01:00", 3, 1.5, "b"),
        event(1, "01 02:00", 1, 2.5, "a"),
        event(1, "02 03:00", 3, -4.0, "b"),
        event(1, "02 03:00", None, None, None),
        event(1, "02 04:00", 9, 8.0, "c"),
    ]
    expected: dict[tuple[str, str, DType], Any] = {
        ("count", "n", Int64): 4,
        ("sum", "n", Int64): 16,
        ("sum", "x", Float64): 8.0,
        ("mean", "n", Float64): 4.0,
        ("mean", "x", Float64): 2.0,
        ("min", "x", Float64): -4.0,
        ("max", "s", String): "c",
        ("var_pop", "x", Float64): 18.125,
        ("var_samp", "n", Float64): 12.0,
        ("stddev_pop", "n", Float64): 3.0,
        ("stddev_samp", "x", Float64): math.sqrt(72.5 / 3),
        ("first", "n", Int64): 3,
        ("last", "s", String): "c",
        ("first_k", "n", Array(Int64)): [3, 1],
        ("last_k", "s", Array(String)): ["c", "b"],
        ("count_distinct", "n", Int64): 3,
        ("top_k", "s", Array(String)): ["b", "c"],
        ("histogram", "n", Map(String, Int64)): {"1": 1, "3": 2, "9": 1},
    }
    items = [aggregation(f"{f}_{c}", f, c, 7, dtype, k=2 if f.endswith("_k") else None) for f, c, dtype in expected]
    (row,) = run(spark, tmp_path, rows, windows(*items), "02", "03")
    for (function, column, _), found, wanted in zip(expected, row[2:], expected.values(), strict=True):
        assert found == (pytest.approx(wanted, rel=1e-15) if isinstance(wanted, float) else wanted), (function, column)


def test_approximations_equal_the_reference_and_merge_exactly(spark: SparkSession, tmp_path: Path) -> None:
    hours = [f"0{1 + number % 6} 0{number % 7}:00" for number in range(6_000)]
    rows = [
        event(1, at, number % 4_000, (number % 997 - 400) * 1.7e-3, f"user-{number % 2_500}")
        for number, at in enumerate(hours)
    ]
    items = [
        aggregation("users", "approx_count_distinct", "s", None, Int64),
        aggregation("numbers", "approx_count_distinct", "n", None, Int64),
        aggregation("floats", "approx_count_distinct", "x", None, Int64),
        aggregation("low", "approx_percentile", "x", None, Float64, percentile=0.1),
        aggregation("middle", "approx_percentile", "n", None, Float64, percentile=0.5),
        aggregation("most", "approx_percentile", "x", None, Float64, percentile=1.0),
    ]
    (found,) = run(spark, tmp_path, rows, windows(*items), "07", "08")
    columns = {name: [row[place] for row in rows] for place, name in ((4, "s"), (2, "n"), (3, "x"))}
    expected = [
        *(approximate_distinct(columns[name]) for name in ("s", "n", "x")),
        approximate_percentile(columns["x"], 0.1),
        approximate_percentile(columns["n"], 0.5),
        approximate_percentile(columns["x"], 1.0),
    ]
    assert list(found[2:]) == [pytest.approx(value, rel=1e-12) for value in expected]


def test_an_emptied_key_has_counts_0_and_else_null(spark: SparkSession, tmp_path: Path) -> None:
    kinds: list[tuple[str, Any]] = [
        ("count_distinct", Int64),
        ("top_k", Array(Int64)),
        ("histogram", Map(String, Int64)),
        ("last_k", Array(Int64)),
        ("var_pop", Float64),
        ("mean", Float64),
    ]
    view = windows(*(aggregation(function, function, "n", 1, dtype, k=1) for function, dtype in kinds))
    rows = run(spark, tmp_path, [event(1, "01 01:00", 4)], view, "02", "03", first=False)
    assert rows == [(1, "03 00:00", 0, None, None, None, None, None)]


def test_ties_break_by_time_then_created_then_value(spark: SparkSession, tmp_path: Path) -> None:
    types = {**EVENTS, "made": Timestamp}
    rows = [
        (*event(1, "01 01:00", 1), instant("01 05:00")),
        (*event(1, "01 01:00", 9), instant("01 03:00")),
        (*event(1, "01 01:00", 2), instant("01 05:00")),
    ]
    view = windows(aggregation("last", "last", "n", 1, Int64), aggregation("all", "last_k", "n", 1, Array(Int64), k=3))
    for order in (rows, rows[::-1]):
        found = run(spark, tmp_path, order, view, "01", "02", types=types, created_timestamp_column="made")
        assert found == [(1, "02 00:00", 2, [2, 1, 9])]


def test_nan_is_the_greatest_number_and_equals_itself(spark: SparkSession, tmp_path: Path) -> None:
    view = windows(aggregation("low", "min", "x", None, Float64), aggregation("high", "max", "x", None, Float64))
    rows = [event(1, "01 01:00", x=NAN), event(1, "01 02:00", x=1.0), event(1, "02 01:00", x=2.0)]
    ((key, at, low, high),) = run(spark, tmp_path, rows, view, "01", "04")
    assert (key, at, low, math.isnan(high)) == (1, "02 00:00", 1.0, True)


def test_floats_are_folded_in_time_order_whatever_the_partitioning(spark: SparkSession, tmp_path: Path) -> None:
    values = [1e16, 1.0, -1e16, 1.0, 0.1, 0.2, 0.3]
    rows = [event(1, f"01 {hour:02}:00", x=x) for hour, x in enumerate(values)]
    wanted = 0.0
    for x in values:
        wanted += x
    view = windows(aggregation("total", "sum", "x", 1, Float64))
    for order in (rows, rows[::-1]):
        assert run(spark, tmp_path, order, view, "01", "02") == [(1, "02 00:00", wanted)]


def test_float_partials_come_from_sort_aggregates(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, HISTORY)
    node, view = file_source(), windows(aggregation("total", "sum", "x", 1, Float64))
    step = compute(engine_of(spark, tmp_path, node), view, "01", "03", node)
    plan = step.rows._jdf.queryExecution().executedPlan().toString()
    assert "SortAggregate" in plan
    assert "HashAggregate" not in plan


def test_where_filters_one_aggregation_alone(spark: SparkSession, tmp_path: Path) -> None:
    view = windows(
        aggregation("all", "count", None, 1, Int64),
        aggregation("big", "count", None, 1, Int64, where="n > 3"),
        aggregation("big_sum", "sum", "n", 1, Int64, where="n > 3"),
    )
    rows = [event(1, "01 01:00", 3), event(1, "01 02:00", 5), event(1, "01 02:00", None)]
    assert run(spark, tmp_path, rows, view, "01", "02") == [(1, "02 00:00", 3, 1, 5)]


def test_an_integer_sum_overflows_only_if_the_total_does(spark: SparkSession, tmp_path: Path) -> None:
    top = 2**63 - 1
    rows = [event(1, "01 01:00", top), event(1, "01 02:00", top), event(1, "01 03:00", -top)]
    view = windows(aggregation("total", "sum", "n", 1, Int64))
    assert run(spark, tmp_path, rows, view, "01", "02") == [(1, "02 00:00", top)]
    with pytest.raises(PySparkException, match="feature 'total': the sum of 'n' is outside int64"):
        run(spark, tmp_path, rows[:2], view, "01", "02")


def test_a_limit_is_an_error_that_names_the_feature(spark: SparkSession, tmp_path: Path) -> None:
    view = windows(aggregation("kinds", "count_distinct", "n", 1, Int64, limit=1))
    rows = [event(1, "01 01:00", 3), event(1, "01 02:00", 5)]
    with pytest.raises(PySparkException, match="feature 'kinds': a key has 2 distinct values of 'n'"):
        run(spark, tmp_path, rows, view, "01", "02")


def test_null_keys_are_dropped_and_counted_in_the_same_pass(spark: SparkSession, tmp_path: Path) -> None:
    node = file_source()
    for rows, metrics in (
        (HISTORY, {"rows_read": 5, "null_keys_dropped": 1}),
        ([event(None, "01 01:00")], {"rows_read": 1, "null_keys_dropped": 1}),
        ([], {"rows_read": 0, "null_keys_dropped": 0}),
    ):
        write_events(tmp_path, rows)
        step = compute(engine_of(spark, tmp_path, node), VIEW, "01", "08", node)
        step.rows.write.mode("overwrite").parquet(str(tmp_path / "out"))
        assert step.metrics() == metrics
        assert step.raw is not None
        assert step.raw.count() == len(rows)


def test_a_run_reads_the_longest_window_before_its_first_step(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, [event(1, f"{day:02} 00:00", 1) for day in range(1, 10)])
    node = file_source()
    for first in (True, False):
        step = compute(engine_of(spark, tmp_path, node), VIEW, "07", "08", node, first=first)
        step.rows.collect()
        assert step.metrics()["rows_read"] == 3


def test_steps_on_an_uneven_grid(spark: SparkSession, tmp_path: Path) -> None:
    view = windows(aggregation("rows", "count", None, 0.25, Int64), schedule=parse_schedule("0 0,6,18 * * *"))
    rows = [event(1, "01 05:59"), event(1, "01 06:00"), event(1, "01 12:00"), event(1, "01 17:59")]
    assert run(spark, tmp_path, rows, view, "01", "02") == [
        (1, "01 06:00", 1),
        (1, "01 18:00", 2),
        (1, "02 00:00", 0),
    ]


def test_tiles_are_the_greatest_that_fit_windows_and_grid() -> None:
    hour = 3_600_000_000
    for days, schedule, hop in ((2, "@daily", 24), (1 / 24, "@daily", 1), (0.25, "0 9 * * *", 3), (2, "@hourly", 1)):
        view = windows(aggregation("rows", "count", None, days, Int64), schedule=parse_schedule(schedule))
        assert hop_micros(view) == hop * hour


def test_refused_requests_say_what_is_valid(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not made of whole steps"):
        run(spark, tmp_path, HISTORY, VIEW, "01", "02 06:00")
    truncating = windows(aggregation("average", "mean", "n", 1, Int64))
    with pytest.raises(SchemaMismatch, match="average: mean of 'n' gives double, not int64"):
        run(spark, tmp_path, HISTORY, truncating, "01", "02")
