"""Compaction beside appends, the change feed after it, data skipping, and what may be deleted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore.stores.delta import DeltaStore
from featurestore.stores.delta_creation import create_table
from featurestore.stores.delta_files import DeltaFiles
from featurestore.stores.delta_schema import CLUSTERED_BY, columns_ddl, table_columns, table_properties
from featurestore.stores.delta_upkeep import cluster, compact, set_properties, vacuum
from tests.support.offline_views import commit_record, day, plain_view, table_rows

pytestmark = pytest.mark.spark

VIEW = plain_view()
TARGET = 1 << 20


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> DeltaStore:
    return DeltaStore(spark, str(tmp_path))


def _append(store: DeltaStore, spark: SparkSession, number: int, users: int = 3) -> None:
    start = day(number).start
    rows = [
        {"user_id": number * 1000 + user, "event_timestamp": start + timedelta(hours=user % 24), "clicks": number}
        for user in range(users)
    ]
    record = commit_record(day(number), run_id=f"run-{number}")
    store.append(table_rows(spark, VIEW, rows).coalesce(1), VIEW, record, app_id=f"demo/{number}")


def _users(frame: DataFrame) -> list[int]:
    return sorted(row.user_id for row in frame.collect())


@pytest.fixture
def of_four_days(store: DeltaStore, spark: SparkSession) -> str:
    for number in (1, 2, 3, 4):
        _append(store, spark, number)
    return store.path(VIEW)


def test_a_compaction_changes_no_row_and_tells_of_none(
    of_four_days: str, store: DeltaStore, spark: SparkSession
) -> None:
    rows, records = _users(store.rows(VIEW)), store.commits(VIEW)
    done = compact(spark, of_four_days, target_file_bytes=TARGET)
    assert (done.removed, done.added) == (4, 1)
    latest = store.latest_version(VIEW)
    assert latest == 5
    assert _users(store.rows(VIEW)) == rows
    assert _users(store.appended(VIEW, 4, latest)) == []
    assert _users(store.appended(VIEW, 2, latest)) == [3000, 3001, 3002, 4000, 4001, 4002]
    assert (store.rows_after(VIEW, 4), store.rows_after(VIEW, 2), store.commits(VIEW)) == (0, 6, records)
    assert compact(spark, of_four_days, target_file_bytes=TARGET).removed == 0
    assert store.latest_version(VIEW) == latest


def test_runs_go_on_while_their_table_is_compacted_and_changed(store: DeltaStore, spark: SparkSession) -> None:
    path = store.path(VIEW)
    columns = spark.createDataFrame([], columns_ddl(table_columns(VIEW))).schema
    create_table(spark, path, columns, table_properties(VIEW))  # without clustering, as an older release did
    _append(store, spark, 1)
    ended = threading.Event()
    merged: list[int] = []

    def keep_up() -> None:
        set_properties(spark, path, {"delta.deletedFileRetentionDuration": "interval 9 days"})
        cluster(spark, path, CLUSTERED_BY)
        while not ended.is_set():
            merged.append(compact(spark, path, target_file_bytes=TARGET).removed)

    def run(numbers: range) -> None:
        for number in numbers:
            store.standing(VIEW, within=day(number)).count()
            _append(store, spark, number)

    with ThreadPoolExecutor(3) as pool:
        upkeep = pool.submit(keep_up)
        runs = [pool.submit(run, range(2, 6)), pool.submit(run, range(6, 10))]
        try:
            for each in runs:
                each.result()
        finally:
            ended.set()
        upkeep.result()
    expected = sorted(number * 1000 + user for number in range(1, 10) for user in range(3))
    latest = store.latest_version(VIEW)
    assert latest is not None and sum(merged) > 0
    assert _users(store.rows(VIEW)) == expected
    assert _users(store.appended(VIEW, 0, latest)) == expected
    assert sorted(record.run_id for record in store.commits(VIEW)) == sorted(f"run-{number}" for number in range(1, 10))


def test_ranges_of_event_times_and_keys_are_found_by_statistics_before_and_after_a_compaction(
    store: DeltaStore, spark: SparkSession
) -> None:
    for number in range(1, 9):
        _append(store, spark, number, users=500)
    path = store.path(VIEW)

    def read(number: int) -> int:
        return len(store.standing(VIEW, within=day(number)).inputFiles())

    assert [read(number) for number in (1, 5, 8)] == [1, 1, 1]
    assert len(store.rows(VIEW).where("user_id = 5007").inputFiles()) == 1
    assert len(store.rows(VIEW).where("clicks = 5").inputFiles()) == 8, "features have no statistics"
    cluster(spark, path, CLUSTERED_BY)
    done = compact(spark, path, target_file_bytes=sum(DeltaFiles(path).sizes()) // 3)
    assert done.removed == 8 and 2 <= done.added <= 5
    assert all(read(number) < done.added for number in (1, 5, 8)), "a day lies in few of the files"


def test_what_a_reader_of_an_older_version_needs_is_known_from_the_log(
    of_four_days: str, spark: SparkSession, store: DeltaStore
) -> None:
    files = DeltaFiles(of_four_days)
    assert (files.replaced_since(0), files.replaced_since(4), len(files.sizes())) == (None, None, 4)
    compact(spark, of_four_days, target_file_bytes=TARGET)
    after = DeltaFiles(of_four_days)
    since = after.replaced_since(2)
    assert since is not None and since == after.replaced_since(4)
    assert after.replaced_since(5) is None
    assert (after.obsolete(timedelta(days=7)), after.obsolete(timedelta(0))) == (0, 4)
    set_properties(spark, of_four_days, {"delta.deletedFileRetentionDuration": "interval 0 days"})
    vacuum(spark, of_four_days, retention=timedelta(0))
    assert len(list(Path(of_four_days).glob("*.parquet"))) == 1
    assert DeltaFiles(of_four_days).obsolete(timedelta(0)) == 0
    assert len(_users(store.standing(VIEW))) == 12
    assert _users(store.appended(VIEW, 4, DeltaFiles(of_four_days).version)) == []
