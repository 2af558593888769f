"""Counts and integer sums of long windows go on from a kept total: the same rows, at one cost for any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.engines.reference.events import events_by_key
from featurestore.engines.reference.feature_rows import aggregate_rows
from featurestore.intervals import Interval
from featurestore.ir.columns import IS_DELETED
from featurestore.ir.nodes import Aggregations, FieldNode
from featurestore.ir.tiles import tile_location
from featurestore.plan.tile_ranges import Total
from featurestore.spec.dtypes import Float64, Int64
from tests.support.agreement import differences, feature_rows_of
from tests.support.engine_runs import aggregation, fields, file_source, instant, view_of, write_events
from tests.support.histories import COLUMNS, KEYS, PREDICATES, SCENES, generate_histories
from tests.support.rows import make_table
from tests.support.tiled import Tiled, evaluate

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAILY = SCENES["daily"]
ITEMS = (
    aggregation("rows", "count", None, 8, Int64),
    aggregation("some", "count", "s", 8, Int64, where="b"),
    aggregation("sum", "sum", "n", 9, Int64),
    aggregation("small", "sum", "i", 9, Int64, where="n > 1 OR s = 'a'"),
    aggregation("mean", "mean", "n", 12, Float64),
    aggregation("ever", "count", "x", None, Int64),
    aggregation("total", "sum", "i", None, Int64),
)
FLOATS = (aggregation("float", "mean", "x", 10, Float64), aggregation("beside", "count", None, 10, Int64))
CASES = 60


def day_of(row: Mapping[str, Any]) -> str:
    return f"{row['ts']:%Y-%m-%d}"


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(make_table(fields(COLUMNS), rows), folder / f"{name}.parquet")


@pytest.mark.parametrize("items", [ITEMS, (*ITEMS[1:4], *FLOATS)], ids=["exact", "beside floats"])
def test_single_steps_in_any_order_give_the_oracles_rows(
    spark: SparkSession, tmp_path: Path, items: tuple[Any, ...]
) -> None:
    """Steps in order, back, and over a hole; then late events come, before some windows and in others."""
    features = tuple(FieldNode(name=item.name, dtype=item.dtype) for item in items)
    at = DAILY.steps[6:]
    view = view_of(
        {}, Aggregations(items=items), join_keys=KEYS, features=features, schedule=DAILY.view.schedule, start=at[0]
    )
    history = [row for row in generate_histories(DAILY, CASES) if row["n"] != 2**60]
    late = [row for number, row in enumerate(history) if number % 9 == 4 and at[1] <= row["ts"] < at[3]]
    present = [row for row in history if row not in late]
    for day in {day_of(row) for row in present}:
        write(tmp_path / "data", day, [row for row in present if day_of(row) == day])
    source = file_source(schema=fields(COLUMNS), path="data")
    tiled = Tiled.at(spark, tmp_path, source)

    def check(number: int, *, first: bool = False) -> None:
        step = Interval(at[number], at[number + 1])
        rows = tiled.run(view, step, first=first).rows.withColumn(IS_DELETED, F.lit(False)).toArrow().to_pylist()
        expected = aggregate_rows(view, events_by_key(view, source, present), step, first=first, predicates=PREDICATES)
        assert differences(view, expected, feature_rows_of(view, rows)) == [], f"step {number}"

    check(0, first=True)
    for number in (1, 2, 7, 5):
        check(number)
    assert late
    present += late
    write(tmp_path / "data", "late", late)
    for number in (8, 2):
        check(number)


LONG = [
    (key, instant("01") + timedelta(days=day, hours=key), day if key == 2 else None, None, None)
    for key in (1, 2, 3)
    for day in range(-420, 4)
    if key < 3 or day % 40 == 0
]


def counting(days: int | None) -> Any:
    items = (aggregation("count", "count", None, days, Int64), aggregation("sum", "sum", "n", days, Int64))
    return view_of({item.name: item.dtype for item in items}, Aggregations(items=items))


def day(number: int) -> Interval:
    return Interval(instant(f"{number:02}"), instant(f"{number + 1:02}"))


def test_a_roll_reads_as_much_of_a_year_as_of_ten_days(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, LONG)
    tiled = Tiled.at(spark, tmp_path, file_source())
    read = {}
    for days in (10, 365, None):
        evaluate(tiled.run(counting(days), day(1), first=True), tmp_path)
        first, second = (evaluate(tiled.run(counting(days), day(n), first=False), tmp_path) for n in (2, 3))
        assert first["rows_read"] + second["rows_read"] == (4 if days == 10 else 0), "of two days, once"
        read[days] = first["tiles_read"], second["tiles_read"]
    # The total has three keys. Of two of them there is a day that came, and one that fell out; for the lifetime the
    # total of the day before does first, with three keys' tiles of that day.
    assert read == {10: (7, 7), 365: (7, 7), None: (8, 5)}


def test_a_total_is_built_anew_only_when_more_has_come_and_gone_than_it_has(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Of a hundred keys one has events: the total of the first step does for all the days after it."""
    busy = [(1, instant("01 05:00") + timedelta(days=n), 1 + n * n, None, None) for n in range(-28, 20) if n % 5]
    write_events(tmp_path, [(key, instant("01 05:00"), 1, None, None) for key in range(100)] + busy)
    tiled, view = Tiled.at(spark, tmp_path, file_source()), counting(30)
    for number in range(2, 8):
        step = tiled.run(view, day(number), first=False)
        month = timedelta(days=30)
        before, now = (
            [n for _, at, n, _, _ in busy if end - month <= at < end] for end in (day(number).start, day(number).end)
        )
        expected = [(1, len(now) + 1, sum(now) + 1)] if now != before else []
        assert [(row["k"], row["count"], row["sum"]) for row in step.rows.collect()] == expected, number
    commits = tiled.tiles.log(tile_location(view, tiled.source)).commits
    built = [total for commit in commits for layer in commit.layers for total in layer.totals]
    assert built == [Total(window=month // timedelta(microseconds=1), end=int(instant("02").timestamp()) * 1_000_000)]


def test_keys_that_ran_empty_are_in_no_total(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, [(1, instant("01 05:00"), 5, None, None), (2, instant("12 05:00"), 7, None, None)])
    tiled, view = Tiled.at(spark, tmp_path, file_source()), counting(10)
    found = {}
    for number in range(10, 14):
        step = tiled.run(view, day(number), first=False)
        found[number] = [(row["k"], row["count"], row["sum"]) for row in step.rows.collect()]
    assert found == {10: [], 11: [(1, 0, None)], 12: [(2, 1, 7)], 13: []}
    table = spark.read.format("delta").load(str(tmp_path / tile_location(view, tiled.source)))
    ends = table.where("__part = 'totals'").select("k", F.timestamp_micros("__tile").alias("end")).collect()
    assert {(row["k"], row["end"].day) for row in ends if row["end"].day > 11} <= {(2, 13)}


def test_a_view_goes_on_from_the_total_of_another_that_asks_for_more(spark: SparkSession, tmp_path: Path) -> None:
    """What only the other view asks for is built no further."""
    busy = [(key, instant(f"{n:02} 05:00"), n, None, None) for n in range(1, 9) for key in (1, 2)]
    write_events(tmp_path, busy)
    tiled, both = Tiled.at(spark, tmp_path, file_source()), counting(30)
    counts = view_of({"count": Int64}, Aggregations(items=(aggregation("count", "count", None, 30, Int64),)))
    evaluate(tiled.run(both, day(4), first=True), tmp_path)
    for number in (5, 6, 7):
        step = tiled.run(counts, day(number), first=False)
        assert sorted((row["k"], row["count"]) for row in step.rows.collect()) == [(1, number), (2, number)]
    rows = tiled.run(both, day(8), first=False).rows.collect()
    assert sorted((row["k"], row["count"], row["sum"]) for row in rows) == [(1, 8, 36), (2, 8, 36)]
