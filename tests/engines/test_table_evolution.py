"""A table of an older release that lacks a column: read as null, then given the column by its metadata alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable as DeltaLogTable
from pyspark.sql import SparkSession

from featurestore.errors import SchemaMismatch
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Float64, Int64
from featurestore.stores.delta import DeltaStore
from tests.support.offline_views import at, commit_record, day, plain_view, table_rows

pytestmark = pytest.mark.spark

OLD = plain_view()
NEW = replace(OLD, features=(*OLD.features[:1], FieldNode(name="tip", dtype=Float64), *OLD.features[1:]))
"""As a later release that stores one column more in the same version's table would have it."""
ROW = {"user_id": 1, "event_timestamp": at("01T06"), "clicks": 3}


@pytest.fixture
def old_table(spark: SparkSession, tmp_path: Path) -> DeltaStore:
    store = DeltaStore(spark, str(tmp_path))
    store.append(table_rows(spark, OLD, [ROW]), OLD, commit_record(day(1)), app_id="old/1")
    return store


def _files(store: DeltaStore) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(store.path(OLD)).glob("*.parquet")}


def test_before_anything_writes_the_column_is_read_as_null(old_table: DeltaStore) -> None:
    frames = [
        old_table.standing(NEW),
        old_table.rows(NEW),
        old_table.appended(NEW, None, 1),
        old_table.appended(NEW, 0, 1),
    ]
    assert [[(row.clicks, row.tip) for row in frame.collect()] for frame in frames] == [[(3, None)]] * 4
    assert old_table.sample(NEW, 1, 10).select(["clicks", "tip"]).to_pylist() == [{"clicks": 3, "tip": None}]
    assert old_table.latest_version(NEW) == 1


def test_ensure_table_adds_it_once_and_no_file_is_written(old_table: DeltaStore) -> None:
    before = _files(old_table)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(old_table.ensure_table, [NEW, NEW]))
    old_table.ensure_table(NEW)
    assert _files(old_table) == before
    history = DeltaLogTable(old_table.path(OLD)).history()
    assert [entry["operation"] for entry in history] == ["ADD COLUMNS", "WRITE", "CREATE TABLE"]
    assert [(row.clicks, row.tip) for row in old_table.standing(NEW).collect()] == [(3, None)]


def test_rows_of_both_releases_stand_side_by_side(spark: SparkSession, old_table: DeltaStore) -> None:
    rows = table_rows(spark, NEW, [{"user_id": 2, "event_timestamp": at("02T06"), "clicks": 4, "tip": 0.5}])
    committed = old_table.append(rows, NEW, commit_record(day(2)), app_id="new/2")
    assert committed.delta_version == 3
    assert sorted((row.clicks, row.tip) for row in old_table.standing(NEW).collect()) == [(3, None), (4, 0.5)]
    assert [(row.clicks, row.tip) for row in old_table.appended(NEW, 1, 3).collect()] == [(4, 0.5)]
    assert old_table.sample(NEW, 1, 10).column("tip").null_count == 1
    # A process of the older release goes on: its rows have no value of the new column.
    rows = table_rows(spark, OLD, [{"user_id": 3, "event_timestamp": at("03T06"), "clicks": 5}])
    old_table.append(rows, OLD, commit_record(day(3)), app_id="old/3")
    assert [row.tip for row in old_table.appended(NEW, 3, 4).collect()] == [None]


def test_an_append_under_way_while_a_column_is_added_comes_once(spark: SparkSession, old_table: DeltaStore) -> None:
    rows = table_rows(spark, OLD, [{"user_id": 9, "event_timestamp": at("04T06"), "clicks": 9}])

    def append(number: int) -> int:
        record = commit_record(day(number), run_id=f"run-{number}")
        return old_table.append(rows, OLD, record, app_id=f"old/{number}").delta_version

    with ThreadPoolExecutor(3) as pool:
        appended = [pool.submit(append, number) for number in (4, 5)]
        pool.submit(old_table.ensure_table, NEW).result()
    assert len({run.result() for run in appended}) == 2
    assert old_table.rows(NEW).where("user_id = 9").count() == 2


def test_a_column_that_must_not_be_null_is_refused(old_table: DeltaStore) -> None:
    wider = replace(OLD, join_keys=(*OLD.join_keys, FieldNode(name="site", dtype=Int64)))
    with pytest.raises(SchemaMismatch, match="must not be null, so it cannot be added") as refused:
        old_table.ensure_table(wider)
    assert [problem.object for problem in refused.value.problems] == ["site"]
    assert old_table.latest_version(OLD) == 1
