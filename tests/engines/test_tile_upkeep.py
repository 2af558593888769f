"""Upkeep of a tile table beside those who build and read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.intervals import Interval
from featurestore.ir.nodes import AggregationNode, Aggregations, ViewNode
from featurestore.ir.tiles import BUILD, PART, SIZE, TILE
from featurestore.plan.tile_coverage import TileCommit, replay
from featurestore.spec.dtypes import Array, Int64
from featurestore.stores.delta_files import DeltaFiles
from featurestore.stores.delta_tile_upkeep import clear_tiles
from featurestore.stores.delta_tiles import DeltaTiles
from featurestore.stores.delta_upkeep import compact, set_properties, vacuum
from featurestore.stores.tile_log import TileLog
from tests.support.engine_runs import aggregation, file_source, instant, view_of, write_events
from tests.support.tiled import Tiled, evaluate

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(300)]

EVENTS = [
    (key, instant(f"{day:02} {hour:02}:00"), 1, 0.1 * hour, None)
    for key in (1, 2)
    for day in range(1, 8)
    for hour in (1, 23)
]


def daily(*items: AggregationNode) -> ViewNode:
    return view_of({item.name: item.dtype for item in items}, Aggregations(items=items))


def day(number: int) -> Interval:
    return Interval(instant(f"{number:02}"), instant(f"{number + 1:02}"))


VIEW = daily(aggregation("week", "sum", "n", 7, Int64), aggregation("kinds", "top_k", "n", 7, Array(Int64), k=1))
LONGER = daily(aggregation("all", "sum", "n", 20, Int64), aggregation("week", "sum", "n", 7, Int64))


def land(folder: Path, name: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Let a file appear whole: a source is the files of a folder."""
    aside = folder / f"_{name}"
    aside.mkdir()
    write_events(aside, rows)
    (folder / "data").mkdir(exist_ok=True)
    (aside / "events.parquet").rename(folder / "data" / f"{name}.parquet")


def values(tiled: Tiled, number: int = 7) -> list[tuple[object, ...]]:
    rows = tiled.run(VIEW, day(number), first=True).rows.collect()
    return sorted((row["k"], row["week"], row["kinds"]) for row in rows)


@pytest.fixture
def built(spark: SparkSession, tmp_path: Path) -> Tiled:
    """Tiles of a week, built; then two events of the third day come late, and its tiles are built anew."""
    land(tmp_path, "events", EVENTS)
    tiled = Tiled.at(spark, tmp_path, file_source(path="data"))
    assert values(tiled) == [(1, 14, [1]), (2, 14, [1])]
    land(tmp_path, "late", [(key, instant("03 12:00"), 1, 1.2, None) for key in (1, 2)])
    values(tiled)
    return tiled


def path_of(folder: Path) -> str:
    (path,) = folder.glob("_tiles/events/*")
    return str(path)


def rows_of(spark: SparkSession, path: str) -> list[tuple[int, str, int, int, str]]:
    frame = spark.read.format("delta").load(path).select("k", PART, SIZE, TILE, BUILD)
    return sorted((row.k, row[PART], row[SIZE], row[TILE], row[BUILD]) for row in frame.collect())


def test_rows_that_count_no_more_go_and_all_others_stay(spark: SparkSession, tmp_path: Path, built: Tiled) -> None:
    path, before = path_of(tmp_path), rows_of(spark, path_of(tmp_path))
    stretches = [(one.build, one.tiles) for one in replay(TileLog.read(path).commits)]
    counting = [
        (key, part, size, start, build)
        for key, part, size, start, build in before
        if any(by == build and tiles.size == size and tiles.start <= start < tiles.end for by, tiles in stretches)
    ]
    assert obsolete(path) == len(before) - len(counting) > 0
    assert clear_tiles(spark, path) == len(before) - len(counting)
    assert rows_of(spark, path) == counting
    version = DeltaFiles(path).version
    assert clear_tiles(spark, path) == 0 and DeltaFiles(path).version == version
    assert evaluate(built.run(VIEW, day(7), first=True), tmp_path)["rows_read"] == 0, "no tile is built anew"

    # What dies later lies in files with rows of other builds.
    compact(spark, path, target_file_bytes=1 << 20)
    land(tmp_path, "later", [(2, instant("05 12:00"), 1, 1.2, None)])
    assert values(built) == [(1, 15, [1]), (2, 16, [1])]
    assert obsolete(path) > 0
    before = rows_of(spark, path)
    removed = clear_tiles(spark, path)
    assert removed and len(rows_of(spark, path)) == len(before) - removed
    assert obsolete(path) == 0
    assert values(built) == [(1, 15, [1]), (2, 16, [1])]


def obsolete(path: str) -> int:
    return TileLog.read(path).obsolete().count


def test_strays_go_and_small_files_are_merged_and_replaced_ones_deleted(
    spark: SparkSession, tmp_path: Path, built: Tiled
) -> None:
    path = path_of(tmp_path)
    stray = spark.read.format("delta").load(path).withColumn(BUILD, F.lit("stray"))
    stray.write.format("delta").mode("append").save(path)
    removed = clear_tiles(spark, path)
    rows = rows_of(spark, path)
    assert removed is not None and removed > len(rows) and "stray" not in {row[4] for row in rows}
    sizes = DeltaFiles(path).folders()
    assert compact(spark, path, target_file_bytes=1 << 20).removed == sum(len(s) for s in sizes if len(s) > 1)
    assert {len(s) for s in DeltaFiles(path).folders()} == {1}
    set_properties(spark, path, {"delta.deletedFileRetentionDuration": "interval 0 days"})
    vacuum(spark, path, retention=timedelta(0))
    # Files of the last build's version are gone: a reader takes the newest version, and builds by its log.
    assert (rows_of(spark, path), values(built)) == (rows, [(1, 15, [1]), (2, 15, [1])])
    land(tmp_path, "next", [(1, instant("08 01:00"), 1, 0.1, None)])
    assert values(built, 8) == [(1, 14, [1]), (2, 13, [1])]


@dataclass
class ClearedBeside(DeltaTiles):
    """Upkeep clears, merges and deletes the table between a build's plan and its commit."""

    spark: SparkSession
    root: str
    removed: list[int | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.spark, self.root)

    def append(self, rows: DataFrame, location: str, commit: TileCommit) -> None:
        path = self.path(location)
        self.removed.append(clear_tiles(self.spark, path))
        compact(self.spark, path, target_file_bytes=1 << 20)
        super().append(rows, location, commit)


def test_a_build_that_planned_before_a_clearing_commits_after_it(
    spark: SparkSession, tmp_path: Path, built: Tiled
) -> None:
    land(tmp_path, "later", [(2, instant("05 12:00"), 1, 1.2, None)])
    beside = ClearedBeside(spark, str(tmp_path))
    for tiled in (Tiled(engine=built.engine, tiles=beside, source=built.source), built):
        rows = tiled.run(LONGER, day(7), first=True).rows.collect()
        assert sorted((row["k"], row["all"], row["week"]) for row in rows) == [(1, 15, 15), (2, 16, 16)]
        clear_tiles(spark, path_of(tmp_path))
    assert sum(removed or 0 for removed in beside.removed) > 0
