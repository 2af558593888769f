"""A month of daily steps over three windows, by us and by plain Spark: ``python -m benchmarks.ours.backfiller``."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.ours.project import DAY, USER, open_project
from benchmarks.protocol import serve
from featurestore import Aggregation, BatchFeatureView, FeatureStore, FileSource
from featurestore.ir.columns import table_location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_START = datetime(2026, 1, 31, tzinfo=UTC)
_WINDOWS = (1, 7, 30)
_opened: list[FeatureStore] = []


def open_store(folder: str, url: str, events: int, days: int) -> None:
    """Make a project over ``events`` clicks of a tenth as many users, in ``days`` days and the thirty before."""
    source = Path(folder) / "clicks"
    source.mkdir(parents=True)
    random, span = np.random.default_rng(7), days + 30
    for day in range(span):
        count = events // span
        at = np.sort(random.integers(0, 86_400_000_000, count)) + (_micros(_START) + (day - 30) * 86_400_000_000)
        table = {
            "user_id": random.integers(1, max(events // 10, 2), count),
            "event_timestamp": pa.array(at, pa.timestamp("us", "UTC")),
            "clicked": random.integers(0, 2, count),
            "seconds": random.exponential(30.0, count),
        }
        pq.write_table(pa.table(table), source / f"{day:03}.parquet")
    view = BatchFeatureView(
        name="activity",
        entities=[USER],
        source=FileSource(name="clicks", path=str(source), timestamp_field="event_timestamp"),
        aggregations=[
            aggregation
            for window in _WINDOWS
            for aggregation in (
                Aggregation(function="count", window=window * DAY, name=f"clicks_{window}d"),
                Aggregation(column="clicked", function="sum", window=window * DAY, name=f"clicked_{window}d"),
                Aggregation(column="seconds", function="mean", window=window * DAY, name=f"seconds_{window}d"),
            )
        ],
        start=_START,
        schedule="@daily",
        online=False,
    )
    _opened.append(open_project(Path(folder), "backfill", url, [view]))
    _opened[-1].runtime.spark.range(1).count()


def backfill(days: int, parallel: int) -> dict[str, Any]:
    """Compute and commit all days; give seconds and what the runs took."""
    started = time.perf_counter()
    result = _opened[-1].backfill("activity", _START, _START + days * DAY, parallel=parallel)
    seconds = time.perf_counter() - started
    if result.exit_code:
        raise RuntimeError(result.to_line())
    costs = [run.cost for run in result.views[0].intervals]
    return {"seconds": seconds, "runs": len(costs), **{name: sum(c[name] for c in costs) for name in costs[0]}}


def plainly(days: int) -> dict[str, Any]:
    """Do what a script would: each day a ``groupBy`` for each window, joined, and appended to a Delta table."""
    from featurestore.engines.spark.job_costs import in_group

    store = _opened[-1]
    spark, path = store.runtime.spark, f"{store.settings.repo}/plain"
    clicks = spark.read.parquet(str(Path(store.settings.repo) / "clicks"))
    started = time.perf_counter()
    with in_group(spark, "plain", "groupBy for each day and window") as costs:
        for day in range(1, days + 1):
            _append_day(clicks, _START + day * DAY, path)
        return {"seconds": time.perf_counter() - started, **costs.read()}


def _append_day(clicks: DataFrame, end: datetime, path: str) -> None:
    from pyspark.sql import functions as F

    windows = []
    for window in _WINDOWS:
        at = F.col("event_timestamp")
        rows = clicks.where((at >= F.lit(end - window * DAY)) & (at < F.lit(end)))
        windows.append(
            rows.groupBy("user_id").agg(
                F.count(F.lit(1)).alias(f"clicks_{window}d"),
                F.sum("clicked").alias(f"clicked_{window}d"),
                F.mean("seconds").alias(f"seconds_{window}d"),
            )
        )
    joined = reduce(lambda left, right: left.join(right, "user_id", "left"), windows[::-1])
    joined.withColumn("event_timestamp", F.lit(end)).write.format("delta").mode("append").save(path)


def totals(days: int) -> dict[str, int]:
    """Give the sum of the longest counts at the last day's end, by each side."""
    from pyspark.sql import functions as F

    store, end = _opened[-1], _START + days * DAY
    spark, view = store.runtime.spark, store.manifest.stored_view("activity")
    ours = spark.read.format("delta").load(f"{store.settings.offline_root}/{table_location(view)}")
    newest = ours.groupBy("user_id").agg(F.max_by("clicks_30d", "event_timestamp").alias("clicks_30d"))
    plain = (
        spark.read.format("delta").load(f"{store.settings.repo}/plain").where(F.col("event_timestamp") == F.lit(end))
    )
    return {
        side: int(rows.agg(F.sum("clicks_30d")).collect()[0][0]) for side, rows in (("ours", newest), ("plain", plain))
    }


def close() -> None:
    """Stop Spark."""
    while _opened:
        _opened.pop().close()


def _micros(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


VERBS = (open_store, backfill, plainly, totals, close)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})
