"""Windows from stored tiles: equal to the oracle in any order of runs, and with no more work than there is news."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.engines.reference.events import events_by_key
from featurestore.engines.reference.feature_rows import aggregate_rows
from featurestore.engines.spark import stored_tiles
from featurestore.intervals import Interval
from featurestore.ir.columns import IS_DELETED
from featurestore.ir.nodes import Aggregations, FieldNode, ViewNode
from featurestore.ir.tiles import BUILD
from featurestore.spec.dtypes import Array, Float64, Int64
from tests.support.agreement import differences, feature_rows_of
from tests.support.engine_runs import aggregation, fields, file_source, instant, view_of, write_events
from tests.support.histories import COLUMNS, PREDICATES, SCENES, Scene, generate_histories
from tests.support.rows import make_table
from tests.support.tiled import Tiled, evaluate

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CASES = 12


def every_third(scene: Scene, number: int) -> Scene:
    """Keep some of a scene's aggregations: plans of all of them take longer than their rows."""
    assert isinstance(scene.view.transformation, Aggregations)
    every = enumerate(scene.view.transformation.items)
    items = tuple(item for place, item in every if (place + place // 3) % 3 == number % 3)
    features = tuple(FieldNode(name=item.name, dtype=item.dtype) for item in items)
    return replace(scene, view=replace(scene.view, transformation=Aggregations(items=items), features=features))


AGGREGATED = {
    name: every_third(scene, number) for number, (name, scene) in enumerate(SCENES.items()) if scene.view.is_aggregate
}


@pytest.mark.parametrize("scene", AGGREGATED.values(), ids=AGGREGATED)
def test_runs_in_any_order_give_the_oracles_rows(
    spark: SparkSession, tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run from the tiles that the runs before it left; then the source is another, and all are run again.

    Every other run takes the tiles for many, and looks for the keys that have news before it merges windows.
    """
    few = itertools.cycle((0, stored_tiles.FEW_BYTES))
    history = generate_histories(scene, CASES)
    tiled = Tiled.at(spark, tmp_path, scene.source)
    for rows in (
        [row for number, row in enumerate(history) if number % 4],
        [row for number, row in enumerate(history) if number % 7 != 3],
    ):
        pq.write_table(make_table(fields(COLUMNS), rows), tmp_path / scene.source.path)
        events = events_by_key(scene.view, scene.source, rows)
        for run in scene.runs:
            monkeypatch.setattr(stored_tiles, "FEW_BYTES", next(few))
            first = run.start in scene.starts
            step = tiled.run(scene.view, run, first=first)
            found = feature_rows_of(scene.view, step.rows.withColumn(IS_DELETED, F.lit(False)).toArrow().to_pylist())
            expected = aggregate_rows(scene.view, events, run, first=first, predicates=PREDICATES)
            assert differences(scene.view, expected, found) == []


WEEK = [
    (key, instant(f"{day:02} {hour:02}:00"), 1, 0.1 * hour, None)
    for key in (1, 2)
    for day in range(1, 9)
    for hour in (1, 23)
]
HOURLY = aggregation("hour", "count", None, 1 / 24, Int64)
DAILY = aggregation("day", "sum", "n", 1, Int64)
SUM = aggregation("sum", "sum", "n", 7, Int64)
WEEKLY = aggregation("week", "mean", "x", 7, Float64)


def daily(*items: Any) -> ViewNode:
    return view_of({item.name: item.dtype for item in items}, Aggregations(items=items))


def day(number: int) -> Interval:
    return Interval(instant(f"{number:02}"), instant(f"{number + 1:02}"))


def test_a_roll_reads_new_events_and_few_tiles(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, WEEK)
    tiled = Tiled.at(spark, tmp_path, file_source())
    view = daily(HOURLY, DAILY, WEEKLY)
    assert evaluate(tiled.run(view, day(7), first=True), tmp_path)["rows_read"] == 28
    rolled = evaluate(tiled.run(view, day(8), first=False), tmp_path)
    # Of each key: the last hour of both days, eight days.
    assert rolled == {"rows_read": 4, "null_keys_dropped": 0, "tiles_read": 2 * (2 + 8)}
    again = evaluate(tiled.run(view, day(8), first=False), tmp_path)
    assert again == {"rows_read": 0, "null_keys_dropped": 0, "tiles_read": 2 * (2 + 8)}


def test_another_window_reads_no_event_and_another_column_each_once(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, WEEK)
    tiled = Tiled.at(spark, tmp_path, file_source())
    evaluate(tiled.run(daily(DAILY, WEEKLY), day(8), first=True), tmp_path)
    longer = daily(replace(DAILY, name="three", window=timedelta(days=3)), replace(WEEKLY, window=timedelta(days=5)))
    assert evaluate(tiled.run(longer, day(8), first=True), tmp_path)["rows_read"] == 0
    wider = daily(
        DAILY, WEEKLY, aggregation("top", "max", "x", 2, Float64), aggregation("kinds", "count_distinct", "n", 2, Int64)
    )
    step = tiled.run(wider, day(8), first=True)
    assert sorted(
        (row["k"], row["day"], round(row["week"], 9), round(row["top"], 9), row["kinds"]) for row in step.rows.collect()
    ) == [(1, 2, 1.2, 2.3, 1), (2, 2, 1.2, 2.3, 1)]
    assert step.metrics()["rows_read"] == len(WEEK)
    assert len(list(tmp_path.glob("_tiles/events/*"))) == 1


def test_days_without_events_are_built_once(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, WEEK)
    tiled, view = Tiled.at(spark, tmp_path, file_source()), daily(DAILY)
    built = []
    for _ in range(2):
        assert tiled.run(view, day(20), first=True).rows.collect() == []
        (location,) = (path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("_tiles/events/*"))
        built.append(len(tiled.tiles.log(location).commits))
    assert built == [1, 1]


def test_two_that_build_the_same_tiles_count_nothing_twice(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, WEEK)
    view = daily(DAILY, WEEKLY, aggregation("kinds", "top_k", "n", 2, Array(Int64), k=1))
    beside = [Tiled.at(spark, tmp_path, file_source()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(tiled.run, view, day(8), first=True) for tiled in beside]
        steps = [run.result() for run in runs]
    steps.append(beside[0].run(view, day(8), first=True))
    for step in steps:
        rows = sorted((row["k"], row["day"], round(row["week"], 9), row["kinds"]) for row in step.rows.collect())
        assert rows == [(1, 2, 1.2, [1]), (2, 2, 1.2, [1])]
    (location,) = (path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("_tiles/events/*"))
    assert len(beside[0].tiles.log(location).commits) >= 2, "both built, or one saw the other's tiles and only combined"


def test_a_build_that_the_log_does_not_have_was_never_there(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, WEEK)
    tiled = Tiled.at(spark, tmp_path, file_source())
    evaluate(tiled.run(daily(DAILY), day(8), first=True), tmp_path)
    (table,) = tmp_path.glob("_tiles/events/*")
    lost = spark.read.format("delta").load(str(table)).withColumn(BUILD, F.lit("lost"))
    lost.write.format("delta").mode("append").save(str(table))
    evaluate(tiled.run(daily(DAILY), day(6), first=True), tmp_path)
    assert spark.read.format("delta").load(str(table)).where(F.col(BUILD) == "lost").count() == 4
    assert evaluate(tiled.run(daily(DAILY), day(8), first=True), tmp_path)["tiles_read"] == 4


def test_of_a_changed_source_only_tiles_of_changed_times_are_built_anew(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("data", "late", "new"):
        (tmp_path / name).mkdir()
    before = [row for row in WEEK if row[1] < instant("08")]
    write_events(tmp_path / "data", before)
    write_events(tmp_path / "late", [(1, instant("03 12:00"), 10, None, None)])
    write_events(tmp_path / "new", [row for row in WEEK if row not in before])
    tiled, view = Tiled.at(spark, tmp_path, file_source(path="data")), daily(DAILY, SUM)
    assert evaluate(tiled.run(view, day(7), first=True), tmp_path)["rows_read"] == len(before)

    (tmp_path / "new" / "events.parquet").rename(tmp_path / "data" / "new.parquet")
    assert evaluate(tiled.run(view, day(8), first=False), tmp_path)["rows_read"] == 4

    (tmp_path / "late" / "events.parquet").rename(tmp_path / "data" / "late.parquet")
    step = tiled.run(view, day(8), first=True)
    assert sorted((row["k"], row["day"], row["sum"]) for row in step.rows.collect()) == [(1, 2, 24), (2, 2, 14)]
    assert step.metrics()["rows_read"] == 4 + 1, "the late row, and the others of its day"


def test_coarser_tiles_are_made_of_tiles_and_not_of_events(spark: SparkSession, tmp_path: Path) -> None:
    """Days 3 to 10 of January 2026 are a tile of 8 days, which a window of 20 days takes as one."""
    rows = [(1, instant(f"{day:02} 01:00"), day, 0.1 * day, None) for day in range(1, 22)]
    write_events(tmp_path, rows)
    tiled = Tiled.at(spark, tmp_path, file_source())
    long = timedelta(days=20)
    view = daily(
        replace(SUM, window=long),
        replace(WEEKLY, window=long),
        aggregation("spread", "var_pop", "x", 20, Float64),
        aggregation("kinds", "count_distinct", "n", 20, Int64),
    )
    step = tiled.run(view, day(21), first=True)
    ((key, total, mean, spread, kinds),) = [
        (row["k"], row["sum"], row["week"], row["spread"], row["kinds"]) for row in step.rows.collect()
    ]
    assert (key, total, kinds) == (1, sum(range(2, 22)), 20)
    assert mean == pytest.approx(1.15)
    assert spread == pytest.approx(sum((0.1 * n - 1.15) ** 2 for n in range(2, 22)) / 20)
    assert step.metrics()["rows_read"] == 21
    (table,) = tmp_path.glob("_tiles/events/*")
    sizes = {int(path.name.partition("=")[2]) for path in table.glob("*/__size=*")}
    assert sizes == {86_400_000_000, 8 * 86_400_000_000}
    assert step.metrics()["tiles_read"] < 21
