"""What one daily roll from stored tiles takes: Spark jobs, rows and bytes, however long the history is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from featurestore.engines.base import ComputeRequest
from featurestore.engines.spark import stored_tiles
from featurestore.intervals import Interval
from featurestore.ir.nodes import Aggregations, DeltaSourceNode
from featurestore.runtime.tiles import standing_tiles
from featurestore.spec.dtypes import Float64, Int64, Timestamp
from featurestore.stores.delta_tiles import DeltaTiles
from tests.support.engine_runs import aggregation, engine_of, fields, view_of
from tests.support.work import bytes_read, count_jobs

pytestmark = [pytest.mark.spark, pytest.mark.slow]

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 61
KEYS = 4
HOURS = (1, 23)
SOURCE = DeltaSourceNode(
    name="events", path="events", timestamp_field="ts", schema=fields({"k": Int64, "ts": Timestamp, "x": Float64})
)
ITEMS = (
    aggregation("hour", "count", None, 1 / 24, Int64),
    aggregation("day", "sum", "x", 1, Float64),
    aggregation("week", "mean", "x", 7, Float64),
)
VIEW = view_of({item.name: item.dtype for item in ITEMS}, Aggregations(items=ITEMS))

OF_EVENTS = 3
"""Jobs of a build from a Delta source: its files are picked, events shuffled, tiles appended."""
OF_TILES = 4
"""Jobs of a merge: the table's state is computed, its files picked, tiles shuffled, rows written."""
OF_NEWS = 3
"""Where tiles are many: files are picked for the keys with news, and once more for all tiles; keys are broadcast."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with events of 61 days in one commit, so that the source's own log is as long on each day."""
    folder = tmp_path_factory.mktemp("rolls")
    at = [START + timedelta(days=day, hours=hour) for day in range(DAYS) for hour in HOURS for _ in range(KEYS)]
    keys = [key for _ in range(DAYS * len(HOURS)) for key in range(KEYS)]
    values = [0.1 * number for number in range(len(at))]
    write_deltalake(
        folder / "events", pa.table({"k": keys, "ts": pa.array(at, pa.timestamp("us", "UTC")), "x": values})
    )
    return folder


def roll(spark: SparkSession, folder: Path, first_day: int, last_day: int) -> Mapping[str, int]:
    """Compute the steps of some days as one run; count its jobs, and the bytes of data and logs that Hadoop read."""
    jobs, read = count_jobs(spark), bytes_read(spark)
    engine, tiles = engine_of(spark, folder, SOURCE), DeltaTiles(spark, str(folder))
    interval = Interval(START + timedelta(days=first_day - 1), START + timedelta(days=last_day))
    pin = engine.pin(SOURCE)
    stored = standing_tiles(VIEW, SOURCE, interval, pin, engine=engine, tiles=tiles)
    request = ComputeRequest(view=VIEW, interval=interval, first=False, created=interval.end, pins={SOURCE.name: pin})
    step = engine.compute(request, stored=stored)
    step.rows.write.mode("overwrite").parquet(str(folder / "rows"))
    return {**step.metrics(), "jobs": jobs(), "bytes": read()}


def log_bytes(folder: Path) -> int:
    return sum(commit.stat().st_size for commit in folder.glob("_tiles/*/*/_delta_log/*.json"))


def test_a_roll_takes_as_much_after_60_days_as_after_40(spark: SparkSession, folder: Path) -> None:
    for number in (38, 39):
        roll(spark, folder, number, number)
    early, early_log = roll(spark, folder, 40, 40), log_bytes(folder)
    roll(spark, folder, 41, 59)
    late, late_log = roll(spark, folder, 60, 60), log_bytes(folder)
    assert early["jobs"] == OF_EVENTS + OF_TILES
    assert early["rows_read"] == KEYS * len(HOURS)
    assert early["tiles_read"] == KEYS * (2 + 8), "of each key: the last hour of both days, eight days"
    counted = ("jobs", "rows_read", "tiles_read")
    assert [late[name] for name in counted] == [early[name] for name in counted]
    grown = late["bytes"] - early["bytes"]
    assert grown <= late_log - early_log, "Delta reads its log from the last checkpoint on, of ten commits at most"


def test_a_roll_without_news_of_the_source_builds_nothing(
    spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll(spark, folder, 61, 61)
    again = roll(spark, folder, 61, 61)
    assert (again["jobs"], again["rows_read"]) == (OF_TILES - 1, 0), "the table's state is known"
    monkeypatch.setattr(stored_tiles, "FEW_BYTES", 0)
    assert roll(spark, folder, 61, 61)["jobs"] <= OF_TILES - 1 + OF_NEWS
