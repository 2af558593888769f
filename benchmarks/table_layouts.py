"""``python -m benchmarks.table_layouts``: what our readers must read of a view's table in each layout, and its price.

Work is counted, not timed: files and bytes that a query reads after data skipping, bytes that upkeep writes again. A
table grows by a commit a day and is kept up every ten days; file sizes are a hundredth of production's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable as DeltaLogTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.protocol import ROOT

START = datetime(2026, 1, 1, tzinfo=UTC)
TARGET_FILE_BYTES = 1 << 20
CLUSTER = "optimize.clustering.mergeStrategy.minCubeSize.threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a table is made and what its upkeep runs; ``{path}`` stands for the table."""

    name: str
    clustered_by: tuple[str, ...] = ()
    partitioned_by_day: bool = False
    upkeep: str = ""


LAYOUTS = (
    Layout(name="as appended"),
    Layout(name="compacted (bin-packing)", upkeep="OPTIMIZE delta.`{path}`"),
    Layout(name="Z-order by time", upkeep="OPTIMIZE delta.`{path}` ZORDER BY (event_timestamp)"),
    Layout(name="Z-order by key, time", upkeep="OPTIMIZE delta.`{path}` ZORDER BY (user_id, event_timestamp)"),
    Layout(name="liquid by time", clustered_by=("event_timestamp",), upkeep="OPTIMIZE delta.`{path}`"),
    Layout(name="liquid by key, time", clustered_by=("user_id", "event_timestamp"), upkeep="OPTIMIZE delta.`{path}`"),
    Layout(name="partitioned by day", partitioned_by_day=True, upkeep="OPTIMIZE delta.`{path}`"),
)


@dataclass(slots=True)
class Found:
    layout: Layout
    files: int = 0
    read: dict[str, tuple[int, int]] = field(default_factory=dict)
    rewritten: int = 0
    size: int = 0


def main() -> None:
    """Build each layout, count, and keep the table in ``results/table_layouts.md``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_layouts", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=20_000, help="a day")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="layouts-") as folder:
        spark = _session()
        found = [_measure(spark, f"{folder}/{n}", layout, chosen) for n, layout in enumerate(LAYOUTS)]
        spark.stop()
    text = _markdown(found, chosen.days, chosen.rows)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "table_layouts.md").write_text(text, encoding="utf-8")
    print(text)


def _session() -> SparkSession:
    from featurestore.embedded.spark_submit import resolve_spark_submit
    from featurestore.engines.spark.session import build_session

    os.environ.update(resolve_spark_submit("test").session_environment())
    spark = build_session("table layouts")
    for name, value in {
        "optimize.maxFileSize": TARGET_FILE_BYTES,
        "optimize.minFileSize": TARGET_FILE_BYTES // 2,
        CLUSTER: 4 * TARGET_FILE_BYTES,
    }.items():
        spark.conf.set(f"spark.databricks.delta.{name}", str(value))
    return spark


def _measure(spark: SparkSession, path: str, layout: Layout, chosen: argparse.Namespace) -> Found:
    found = Found(layout=layout)
    _create(spark, path, layout)
    for day in range(chosen.days):
        rows = _day(spark, day, chosen.rows)
        writer = (rows if layout.partitioned_by_day else rows.drop("day")).write.format("delta").mode("append")
        writer.save(path)
        if (day + 1) % 10 == 0 and layout.upkeep:
            metrics: Any = spark.sql(layout.upkeep.format(path=path)).collect()[0]["metrics"]
            found.rewritten += int(metrics["filesAdded"]["totalSize"] or 0)
    sizes = _sizes(path)
    found.files, found.size = len(sizes), sum(sizes.values())
    for name, query in _queries(chosen.days).items():
        read = [Path(file).name for file in query(spark.read.format("delta").load(path)).inputFiles()]
        found.read[name] = (len(read), sum(sizes[file] for file in read))
    return found


def _create(spark: SparkSession, path: str, layout: Layout) -> None:
    from delta.tables import DeltaTable

    builder = DeltaTable.create(spark).location(path)
    for name, kind in (("user_id", "bigint"), ("event_timestamp", "timestamp"), ("created_timestamp", "timestamp")):
        builder = builder.addColumn(name, kind, nullable=False)
    builder = builder.addColumn("value", "double").addColumn("other", "double")
    builder = builder.property("delta.dataSkippingStatsColumns", "user_id,event_timestamp,created_timestamp")
    if layout.clustered_by:
        builder = builder.clusterBy(*layout.clustered_by)
    if layout.partitioned_by_day:
        builder = builder.addColumn("day", "date").partitionedBy("day")
    builder.execute()


def _day(spark: SparkSession, day: int, rows: int) -> DataFrame:
    """Make a day's rows for random users, as a run commits them: in no order within the day, in two files."""
    start = int((START + timedelta(days=day)).timestamp())
    second = F.lit(start) + (F.rand(day) * 86_400).cast("bigint")
    return (
        spark.range(rows, numPartitions=2)
        .withColumn("user_id", (F.rand(day + 1_000) * 200_000).cast("bigint"))
        .withColumn("event_timestamp", F.timestamp_seconds(second))
        .withColumn("created_timestamp", F.timestamp_seconds(F.lit(start + 86_400)))
        .withColumn("value", F.rand(1))
        .withColumn("other", F.rand(2))
        .withColumn("day", F.lit((START + timedelta(days=day)).date()))
        .drop("id")
    )


def _queries(days: int) -> Mapping[str, Callable[[DataFrame], DataFrame]]:
    """The filters that our readers push down; reading by the change feed takes whole commits in any layout."""

    def within(start: int, end: int) -> Callable[[DataFrame], DataFrame]:
        first, last = (F.lit(START + timedelta(days=day)) for day in (start, end))
        return lambda rows: rows.where((F.col("event_timestamp") >= first) & (F.col("event_timestamp") < last))

    middle = days // 2
    return {
        "a run, one day": within(middle, middle + 1),
        "read_offline, a week": within(middle, middle + 7),
        "training set": lambda rows: rows.where(F.col("event_timestamp") <= F.lit(START + timedelta(days=days))),
        "ten keys": lambda rows: rows.where(F.col("user_id").isin([n * 20_000 + 7 for n in range(10)])),
    }


def _sizes(path: str) -> dict[str, int]:
    actions = DeltaLogTable(path).get_add_actions(flatten=True)
    names = actions.column("path").to_pylist()
    return {Path(name).name: size for name, size in zip(names, actions.column("size_bytes").to_pylist(), strict=True)}


def _markdown(found: list[Found], days: int, rows: int) -> str:
    queries = list(found[0].read)
    intro = (
        f"{days} commits of {rows:,} rows, upkeep after every tenth, target {TARGET_FILE_BYTES >> 20} MiB. Files read "
        "of all, and the share of the table's bytes; written again: bytes that upkeep wrote, by the table's size.\n"
    )
    lines = [
        "# Layouts of a view's table\n",
        intro,
        f"| Layout | Files | {' | '.join(queries)} | Written again |",
        "|---|" + "---|" * (len(queries) + 2),
    ]
    for entry in found:
        cells = [f"{files} ({size / entry.size:.0%})" for files, size in entry.read.values()]
        written = entry.rewritten / entry.size
        lines.append(f"| {entry.layout.name} | {entry.files} | {' | '.join(cells)} | {written:.2f} times |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
