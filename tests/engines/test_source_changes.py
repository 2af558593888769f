"""What changed between two pins of a source: exact rows where they can be told, and else why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from featurestore.engines.base import SourcePin
from featurestore.engines.changed_files import FileChanges, changed_files
from featurestore.engines.spark.changes import CHANGE, SourceChanges, source_changes
from featurestore.engines.spark.pins import pin_source
from featurestore.intervals import Interval, from_micros
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.spec.dtypes import Float64, Int64, Timestamp
from tests.support.engine_runs import fields, file_source
from tests.support.work import count_jobs

pytestmark = pytest.mark.spark

SCHEMA = fields({"k": Int64, "ts": Timestamp, "x": Float64})
HOUR = 3_600_000_000
NAN = float("nan")


def rows_of(*rows: tuple[int, int, float | None]) -> pa.Table:
    """Make rows of (key, hour, value)."""
    keys, hours, values = zip(*rows, strict=True)
    instants = pa.array([hour * HOUR for hour in hours], pa.timestamp("us", tz="UTC"))
    return pa.table({"k": pa.array(keys, pa.int64()), "ts": instants, "x": pa.array(values, pa.float64())})


def hours(first: float, last: float) -> Interval:
    return Interval(from_micros(int(first * HOUR)), from_micros(int(last * HOUR)))


@dataclass
class Source:
    """A source in ``folder``, pinned when the test says so."""

    spark: SparkSession
    folder: Path
    node: DeltaSourceNode | FileSourceNode

    @property
    def path(self) -> str:
        return str(self.folder / (self.node.path or ""))

    def resolve(self, path: str) -> str:
        return str(self.folder / path)

    def pin(self) -> SourcePin:
        return pin_source(self.spark, self.node, resolve=self.resolve)

    def since(self, before: SourcePin) -> SourceChanges:
        return source_changes(self.spark, self.node, before, self.pin(), resolve=self.resolve)

    def changed(self, before: SourcePin) -> Counter[tuple[Any, ...]]:
        """Give (key, hour, value, change) of each row, NaN as text."""
        changes = self.since(before)
        assert changes.rows is not None
        assert changes.rows.columns == ["k", "ts", "x", CHANGE]
        found = [(r["k"], r["ts"].hour, str(r["x"]), r[CHANGE]) for r in changes.rows.collect()]
        return Counter(found)


def delta(spark: SparkSession, folder: Path, *, feed: bool, **options: Any) -> Source:
    configuration = {"delta.enableChangeDataFeed": "true"} if feed else {}
    write_deltalake(folder / "t", rows_of((1, 1, 1.0), (2, 2, NAN), (3, 3, None)), configuration=configuration)
    node = DeltaSourceNode(name="t", path="t", timestamp_field="ts", schema=SCHEMA, **options)
    return Source(spark, folder, node)


def files(spark: SparkSession, folder: Path) -> Source:
    (folder / "in").mkdir()
    pq.write_table(rows_of((1, 1, 1.0)), folder / "in/a.parquet")
    return Source(spark, folder, file_source(path="in", schema=SCHEMA))


@pytest.mark.parametrize("feed", [True, False], ids=["feed", "no feed"])
def test_rows_that_came_went_and_were_altered(spark: SparkSession, tmp_path: Path, feed: bool) -> None:
    source = delta(spark, tmp_path, feed=feed)
    before = source.pin()
    assert source.since(before) == SourceChanges(files=FileChanges())
    write_deltalake(source.path, rows_of((4, 4, 4.0), (4, 4, 4.0)), mode="append")
    appended = source.since(before).files
    assert (appended.times, appended.rows) == (hours(4, 4 + 1e-3 / 3600), 2)
    assert source.changed(before) == {(4, 4, "4.0", 1): 2}
    DeltaTable(source.path).update(predicate="k = 1", new_values={"x": "-1.0"})
    DeltaTable(source.path).delete("k = 2")
    assert source.since(before).files.has_feed is feed
    expected = {(4, 4, "4.0", 1): 2, (1, 1, "1.0", -1): 1, (1, 1, "-1.0", 1): 1, (2, 2, "nan", -1): 1}
    assert source.changed(before) == expected


@pytest.mark.parametrize("feed", [True, False], ids=["feed", "no feed"])
def test_rewritten_files_are_no_change(spark: SparkSession, tmp_path: Path, feed: bool) -> None:
    source = delta(spark, tmp_path, feed=feed)
    before = source.pin()
    write_deltalake(source.path, rows_of((4, 4, 4.0)), mode="append")
    between = source.pin()
    DeltaTable(source.path).optimize.compact()
    DeltaTable(source.path).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    jobs = count_jobs(spark)
    assert source.since(between) == SourceChanges(files=FileChanges())
    assert jobs() == 0
    assert source.changed(before) == {(4, 4, "4.0", 1): 1}
    write_deltalake(source.path, rows_of((4, 4, 4.0), (3, 3, None), (2, 2, NAN), (1, 1, 1.0)), mode="overwrite")
    assert source.changed(between) == {}


def test_deletion_vectors(spark: SparkSession, tmp_path: Path) -> None:
    source = delta(spark, tmp_path, feed=False)
    spark.sql(f"ALTER TABLE delta.`{source.path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    before = source.pin()
    spark.sql(f"DELETE FROM delta.`{source.path}` WHERE k = 3")
    assert source.changed(before) == {(3, 3, "None", -1): 1}


@pytest.mark.parametrize("feed", [True, False], ids=["feed", "no feed"])
def test_a_state_that_is_gone_is_unknown(spark: SparkSession, tmp_path: Path, feed: bool) -> None:
    source = delta(spark, tmp_path, feed=feed)
    before = source.pin()
    DeltaTable(source.path).delete("k = 2")
    DeltaTable(source.path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
    vacuumed = source.since(before)
    assert vacuumed.rows is None
    assert "was vacuumed" in str(vacuumed.files.unknown)
    write_deltalake(source.path, rows_of((5, 5, 5.0)), mode="append")
    (Path(source.path) / "_delta_log" / f"{1:020d}.json").unlink()
    assert "the table's log has lost commits after version 0" in str(source.since(before).files.unknown)


def test_a_table_made_anew_is_unknown(spark: SparkSession, tmp_path: Path) -> None:
    source = delta(spark, tmp_path, feed=False)
    before = source.pin()
    (tmp_path / "t").rename(tmp_path / "old")
    delta(spark, tmp_path, feed=False)
    assert "was written anew" in str(source.since(before).files.unknown)
    write_deltalake(source.path, rows_of((5, 5, 5.0)), mode="append")
    late = SourcePin(source="t", kind="delta", state={"version": 7})
    assert "went back from 7 to 1" in str(source.since(late).files.unknown)


def test_the_result_of_a_query(spark: SparkSession, tmp_path: Path) -> None:
    source = delta(spark, tmp_path, feed=True, query="SELECT k, ts, x + 1 AS x FROM {table} WHERE k < 10")
    before = source.pin()
    write_deltalake(source.path, rows_of((4, 4, 4.0), (11, 5, 5.0)), mode="append")
    assert source.since(before).files.times is None
    assert source.changed(before) == {(4, 4, "5.0", 1): 1}


def test_files_that_were_added_are_read_alone(spark: SparkSession, tmp_path: Path) -> None:
    source = files(spark, tmp_path)
    before = source.pin()
    pq.write_table(rows_of((2, 2, 2.0), (3, 5, 2.0)), tmp_path / "in/b.parquet")
    pq.write_table(rows_of((2, 2, 2.0)).slice(0, 0), tmp_path / "in/c.parquet")
    found = source.since(before).files
    assert (found.times, found.rows) == (Interval(from_micros(2 * HOUR), from_micros(5 * HOUR + 1)), 2)
    assert source.changed(before) == {(2, 2, "2.0", 1): 1, (3, 5, "2.0", 1): 1}


def test_files_that_were_removed_or_written_over(spark: SparkSession, tmp_path: Path) -> None:
    source = files(spark, tmp_path)
    before = source.pin()
    pq.write_table(rows_of((1, 1, 9.0), (2, 2, 2.0)), tmp_path / "in/a.parquet")
    found = source.since(before)
    assert (found.rows, found.files.unknown) == (None, "its file a.parquet was written over")
    assert [file.times for file in found.files.added] == [Interval(from_micros(HOUR), from_micros(2 * HOUR + 1))]
    (tmp_path / "in/a.parquet").unlink()
    assert source.since(before).files.unknown == "its file a.parquet was removed"


def test_a_catalogue_table_without_a_session_is_unknown() -> None:
    node = DeltaSourceNode(name="t", table="db.t", schema=SCHEMA)
    old, new = (SourcePin(source="t", kind="delta", state={"version": v}) for v in (1, 2))
    assert changed_files(node, old, new, resolve=str).unknown == "where the catalogue table lies is not known here"
