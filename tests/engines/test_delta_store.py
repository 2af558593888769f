"""The Delta store: what a run's commit guarantees, and what is read back."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable as DeltaLogTable
from pyspark.sql import DataFrame, SparkSession

from featurestore.errors import IntervalBusy, SchemaMismatch, StateError
from featurestore.intervals import Interval
from featurestore.stores.delta import DeltaStore
from featurestore.stores.delta_schema import table_columns
from featurestore.stores.hadoop_files import clear_leftovers
from tests.support.offline_views import at, commit_record, day, plain_view, table_rows
from tests.support.work import count_jobs

pytestmark = pytest.mark.spark

VIEW = plain_view()
KEPT = ["user_id", "event_timestamp", "clicks"]


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> DeltaStore:
    return DeltaStore(spark, str(tmp_path))


def _app(number: int) -> str:
    return f"demo/user_data/v1/{day(number)}"


def _values(frame: DataFrame) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in frame.select("user_id", "clicks").collect())


def test_a_folder_that_every_node_mounts_is_written_as_an_address(spark: SparkSession, tmp_path: Path) -> None:
    store = DeltaStore(spark, tmp_path.as_uri())
    rows = table_rows(spark, VIEW, [{"user_id": 1, "event_timestamp": at("01T06"), "clicks": 3}])
    committed = store.append(rows, VIEW, commit_record(day(1)), app_id=_app(1))
    assert (committed.delta_version, _values(store.standing(VIEW))) == (1, [(1, 3)])
    jobs = count_jobs(spark)
    assert store.sample(VIEW, 1, 1).num_rows == 1
    assert jobs() == 0
    assert (tmp_path / "views" / "user_data").is_dir()


def test_a_range_without_rows_is_told_to_the_microsecond_and_without_a_job(
    spark: SparkSession, store: DeltaStore
) -> None:
    last = at("2026-01-01T06:00:00.000500")
    rows = table_rows(
        spark, VIEW, [{"user_id": 1, "event_timestamp": at(t)} for t in ("01T05", "2026-01-01T06:00:00.000500")]
    )
    store.append(rows.coalesce(1), VIEW, commit_record(day(1)), app_id=_app(1))
    jobs, tick = count_jobs(spark), datetime.timedelta(microseconds=1)
    for start, end, expected in (
        (last, last + tick, True),
        (last + tick, at("02"), False),
        (at("01T05") + tick, at("01T05:30"), True),  # within the bounds of a file
        (at("01"), at("01T05"), False),
        (at("01"), at("01T05") + tick, True),
    ):
        assert store.may_hold(VIEW, Interval(start, end)) is expected, (start, end)
    assert jobs() == 0


def test_a_retry_of_a_run_gives_the_first_commit_and_another_run_of_the_generation_loses(
    spark: SparkSession, store: DeltaStore
) -> None:
    rows = table_rows(spark, VIEW, [{"user_id": 1, "event_timestamp": at("01T06"), "clicks": 3}])
    commit = commit_record(day(1))
    first = store.append(rows, VIEW, commit, app_id=_app(1))
    assert store.append(rows, VIEW, commit, app_id=_app(1)) == first
    with pytest.raises(IntervalBusy, match=r"run run-2 .* committed before by run run-1 as Delta version 1"):
        store.append(rows, VIEW, commit_record(day(1), run_id="run-2"), app_id=_app(1))
    second = store.append(
        rows.where("false"), VIEW, commit_record(day(1), run_id="run-3", generation=2), app_id=_app(1)
    )
    assert [first.delta_version, second.delta_version] == [1, 2]
    assert [first.counts, second.counts] == [{"rows": 1, "rows_appended": 1}, {"rows": 1, "rows_appended": 0}]
    with pytest.raises(IntervalBusy, match="generation 2 of the interval was committed before by run run-3"):
        store.append(rows, VIEW, commit_record(day(1), run_id="run-4"), app_id=_app(1))
    assert _values(store.standing(VIEW)) == [(1, 3)]
    assert store.commits(VIEW) == [first, second]


@pytest.mark.parametrize("left", ["_staged_commits/", ".00000000000000000000.json.5f3a.tmp"])
def test_a_table_whose_creator_died_before_its_first_commit_is_created(
    store: DeltaStore, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.stores.delta_creation.DEAD_AFTER_SECONDS", 0.5)
    log = Path(store.path(VIEW)) / "_delta_log"
    log.mkdir(parents=True)
    if left.endswith("/"):
        (log / left).mkdir()
    else:
        (log / left).write_text("{}")
    store.ensure_table(VIEW)
    assert store.latest_version(VIEW) == 0


def test_what_a_slow_creator_commits_meanwhile_is_not_cleared(spark: SparkSession, store: DeltaStore) -> None:
    log = Path(store.ensure_table(VIEW)) / "_delta_log"
    (log / ".00000000000000000001.json.77aa.tmp").write_text("{}")
    clear_leftovers(spark, str(log))
    assert store.latest_version(VIEW) == 0
    assert not list(log.glob(".*.tmp"))
    assert [path.name for path in log.glob("*.json")] == ["00000000000000000000.json"]


def test_appends_of_different_intervals_succeed_together_even_when_their_rows_were_compared_with_the_table(
    spark: SparkSession, store: DeltaStore
) -> None:
    def run(number: int) -> int:
        rows = table_rows(spark, VIEW, [{"user_id": number, "event_timestamp": day(number).start, "clicks": number}])
        store.ensure_table(VIEW)
        changed = rows.join(store.standing(VIEW).select(KEPT), KEPT, "left_anti")
        commit = commit_record(day(number), run_id=f"run-{number}")
        return store.append(changed, VIEW, commit, app_id=_app(number)).delta_version

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(run, range(1, 5)))
    assert sorted(versions) == [1, 2, 3, 4]
    assert _values(store.standing(VIEW)) == [(number, number) for number in range(1, 5)]


def test_of_two_runs_of_one_generation_at_the_same_time_one_wins_and_the_other_is_told(
    spark: SparkSession, store: DeltaStore
) -> None:
    store.ensure_table(VIEW)

    def run(run_id: str) -> str:
        rows = table_rows(spark, VIEW, [{"user_id": 1, "event_timestamp": at("01"), "clicks": 1}])
        try:
            return store.append(rows, VIEW, commit_record(day(1), run_id=run_id), app_id=_app(1)).run_id
        except IntervalBusy as busy:
            return f"lost to {busy.context['winner']}"

    with ThreadPoolExecutor(2) as pool:
        results = set(pool.map(run, ["a", "b"]))
    assert results in ({"a", "lost to a"}, {"b", "lost to b"})
    assert _values(store.rows(VIEW)) == [(1, 1)]


def test_what_was_appended_between_versions_is_read_exactly_whatever_compaction_did_and_the_log_tells_all_commits(
    spark: SparkSession, store: DeltaStore
) -> None:
    path = store.ensure_table(VIEW)
    records = [
        store.append(
            table_rows(spark, VIEW, [{"user_id": number, "event_timestamp": day(number).start, "clicks": number}]),
            VIEW,
            commit_record(day(number), run_id=f"run-{number}"),
            app_id=_app(number),
        )
        for number in (1, 2, 3)
    ]
    spark.sql(f"OPTIMIZE delta.`{path}`")
    DeltaLogTable(path).create_checkpoint()
    latest = store.latest_version(VIEW)
    assert latest == 4
    assert _values(store.appended(VIEW, None, 2)) == [(1, 1), (2, 2)]
    assert _values(store.appended(VIEW, 1, latest)) == [(2, 2), (3, 3)]
    assert _values(store.appended(VIEW, 3, latest)) == []
    assert _values(store.appended(VIEW, latest, latest)) == []
    assert store.appended(VIEW, 1, 2).columns == [column.name for column in table_columns(VIEW)]
    assert store.commits(VIEW) == records


def test_the_row_created_last_stands_unless_it_is_deleted(spark: SparkSession, store: DeltaStore) -> None:
    one, two = at("01T06"), at("01T07")
    rows = [
        {"user_id": 1, "event_timestamp": one, "created_timestamp": at("02"), "clicks": 1},
        {"user_id": 1, "event_timestamp": one, "created_timestamp": at("03"), "clicks": 2, "city": ""},
        {"user_id": 1, "event_timestamp": two, "created_timestamp": at("02"), "clicks": 3},
        {"user_id": 2, "event_timestamp": one, "created_timestamp": at("02"), "clicks": 4},
        {"user_id": 2, "event_timestamp": one, "created_timestamp": at("03"), "is_deleted": True},
    ]
    store.append(table_rows(spark, VIEW, rows), VIEW, commit_record(day(1)), app_id=_app(1))
    assert _values(store.standing(VIEW)) == [(1, 2), (1, 3)]
    assert _values(store.standing(VIEW, within=Interval(two, at("02")))) == [(1, 3)]
    standing = store.standing(VIEW)
    assert standing.columns == ["user_id", "event_timestamp", "created_timestamp", "clicks", "rate", "city"]
    assert [
        (row.event_timestamp.replace(tzinfo=datetime.UTC), row.city) for row in standing.where("clicks = 2").collect()
    ] == [(one, "")]


def test_rows_that_do_not_fit_the_table_are_refused_with_every_problem(spark: SparkSession, store: DeltaStore) -> None:
    rows = table_rows(spark, VIEW, [{"user_id": 1, "event_timestamp": at("01"), "clicks": 1}])
    wrong = rows.withColumn("clicks", rows.clicks.cast("int")).withColumnRenamed("city", "colour")
    with pytest.raises(SchemaMismatch) as caught:
        store.append(wrong, VIEW, commit_record(day(1)), app_id=_app(1))
    assert [problem.object for problem in caught.value.problems] == ["clicks", "city", "colour"]
    assert store.commits(VIEW) == []


def test_staging_is_written_once_and_dropped(spark: SparkSession, store: DeltaStore, tmp_path: Path) -> None:
    rows = table_rows(spark, VIEW, [{"user_id": 1, "event_timestamp": at("01"), "clicks": 1}])
    assert _values(store.write_staging(rows, "run-1", VIEW)) == [(1, 1)]
    assert _values(store.write_staging(rows.where("false"), "run-1", VIEW)) == []
    assert (tmp_path / "_staging/user_data/v1/run-1").is_dir()
    store.drop_staging("run-1", VIEW)
    store.drop_staging("run-1", VIEW)
    assert not (tmp_path / "_staging/user_data/v1/run-1").exists()


def test_a_table_that_is_not_there_says_so_and_dropping_it_is_idempotent(
    spark: SparkSession, store: DeltaStore
) -> None:
    assert (store.exists(VIEW), store.latest_version(VIEW), store.commits(VIEW)) == (False, None, [])
    with pytest.raises(StateError, match="materialize the view first"):
        store.standing(VIEW)
    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(store.ensure_table, [VIEW, VIEW]))
    assert (len(paths), store.latest_version(VIEW)) == (1, 0)
    store.drop_table(VIEW)
    store.drop_table(VIEW)
    assert not store.exists(VIEW)
