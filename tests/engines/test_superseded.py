"""Dropping replaced rows: exactly those go, no answer changes, and appends beside it neither fail nor lose a row."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.engines.spark.superseded import superseded_rows
from featurestore.intervals import Interval
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_TIMESTAMP, IS_DELETED
from featurestore.ir.nodes import SqlTransformation, ViewNode
from featurestore.stores.delta import DeltaStore
from featurestore.stores.delta_removal import ROWS, TABLE, remove_rows
from featurestore.stores.delta_schema import columns_ddl, table_columns
from featurestore.stores.delta_upkeep import set_properties
from featurestore.stores.history_log import restatements, superseded_to_json
from tests.support.nodes import prediction_view
from tests.support.offline_views import at, commit_record, day, plain_view, table_rows

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]

VIEW = plain_view()
UNTIL = at("20")
IDENTITY = ("user_id", EVENT_TIMESTAMP, CREATED_TIMESTAMP)
Row = Mapping[str, Any]


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> DeltaStore:
    return DeltaStore(spark, str(tmp_path))


def drop(spark: SparkSession, store: DeltaStore, view: ViewNode, until: datetime = UNTIL) -> int | None:
    path, version = store.path(view), store.latest_version(view)
    set_properties(spark, path, {"delta.appendOnly": "false"})
    same = [F.col(f"{TABLE}.{name}") == F.col(f"{ROWS}.{name}") for name in IDENTITY]
    return remove_rows(
        spark,
        path,
        lambda session: superseded_rows(
            session.read.format("delta").option("versionAsOf", version).load(path), view, until=until
        ),
        matched_by=same[0] & same[1] & same[2],
        within=F.lit(True),
        metadata=superseded_to_json(until),
    )


def history(seed: int) -> list[Row]:
    """Statements about few instants of few users, many of them about the same; some say deleted."""
    chance = random.Random(seed)
    found = {
        (chance.randrange(4), day(chance.randrange(1, 5)).start, at("05") + timedelta(days=chance.randrange(30)))
        for _ in range(120)
    }
    return [
        dict(zip(IDENTITY, identity, strict=True), is_deleted=chance.random() < 0.15, clicks=number)
        for number, identity in enumerate(sorted(found))
    ]


def gone(rows: Sequence[Row], *, keeps_first: bool = False) -> list[Row]:
    """Say which rows go, by the definition: a later statement about the same instant was made up to then."""
    dropped = []
    for row in rows:
        others = [other for other in rows if all(other[name] == row[name] for name in IDENTITY[:2])]
        later = [other for other in others if row[CREATED_TIMESTAMP] < other[CREATED_TIMESTAMP] <= UNTIL]
        is_first = row[CREATED_TIMESTAMP] == min(other[CREATED_TIMESTAMP] for other in others)
        if later and not row[IS_DELETED] and not (keeps_first and is_first):
            dropped.append(row)
    return dropped


def answer(rows: Iterable[Row], user: int, instant: datetime, said_by: datetime) -> int | None:
    """Look up as of an instant, knowing what had been said by then."""
    known = [r for r in rows if r["user_id"] == user and r[EVENT_TIMESTAMP] <= instant]
    known = [r for r in known if r[CREATED_TIMESTAMP] <= said_by]
    newest: dict[datetime, Row] = {}
    for row in sorted(known, key=lambda r: r[CREATED_TIMESTAMP]):
        newest[row[EVENT_TIMESTAMP]] = row
    standing = [row for row in newest.values() if not row[IS_DELETED]]
    return max(standing, key=lambda r: r[EVENT_TIMESTAMP])["clicks"] if standing else None


def read(store: DeltaStore, view: ViewNode = VIEW) -> list[Row]:
    rows = store.rows(view).select(*IDENTITY, IS_DELETED, "clicks").toArrow().to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in IDENTITY])


def append(
    store: DeltaStore, spark: SparkSession, view: ViewNode, rows: Sequence[Row], run: str, **record: Any
) -> None:
    commit = commit_record(record.pop("interval", day(1)), run_id=run, **record)
    store.append(table_rows(spark, view, rows), view, commit, app_id=f"demo/{run}")


def test_exactly_the_replaced_rows_go_and_no_answer_changes(spark: SparkSession, store: DeltaStore) -> None:
    rows = history(7)
    append(store, spark, VIEW, rows, "run-1")
    version = store.latest_version(VIEW)
    expected = gone(rows)
    assert 10 < len(expected) < len(rows) - 10 and any(row[IS_DELETED] for row in rows)
    assert drop(spark, store, VIEW) == len(expected)
    left = read(store)
    assert left == [row for row in rows if row not in expected]
    for user in range(4):
        for number in range(6):
            instant = day(1).start + timedelta(days=number)
            for said_by in (UNTIL, UNTIL + timedelta(days=3), at("2030-01-01T00:00:00Z")):
                assert answer(left, user, instant, said_by) == answer(rows, user, instant, said_by)
    assert any(answer(left, u, at("05"), at("10")) != answer(rows, u, at("05"), at("10")) for u in range(4)), (
        "the price"
    )
    latest = store.latest_version(VIEW)
    assert version is not None and latest is not None
    assert store.appended(VIEW, version, latest).count() == 0, "the change feed tells of no new row"
    assert (store.rows_after(VIEW, version), [c.run_id for c in store.commits(VIEW)]) == (0, ["run-1"])
    assert drop(spark, store, VIEW) == 0 and read(store) == left


def test_a_query_keeps_its_first_statements_which_tell_when_its_steps_end(
    spark: SparkSession, store: DeltaStore
) -> None:
    view = replace(VIEW, transformation=SqlTransformation(text="SELECT 1", per="step", lookback=None))
    rows = history(8)
    found = superseded_rows(table_rows(spark, view, rows), view, until=UNTIL).toArrow().to_pylist()
    expected = gone(rows, keeps_first=True)
    named = [sorted(tuple(row[name] for name in IDENTITY) for row in some) for some in (found, expected)]
    assert named[0] == named[1]
    assert len(expected) < len(gone(rows))


def test_a_prediction_of_newer_inputs_than_what_replaced_it_stays(spark: SparkSession) -> None:
    """The greatest time of inputs that a key ever had is in its online stamp, once a row was withdrawn."""
    view = prediction_view()
    said = [(1, "06", "04"), (1, "07", "05"), (1, "08", "05"), (2, "06", "05"), (2, "07", "04"), (3, "06", "05")]
    rows = [
        {"user_id": user, EVENT_TIMESTAMP: at("05"), CREATED_TIMESTAMP: at(created), INPUTS_TIMESTAMP: at(inputs)}
        for user, created, inputs in said
    ]
    columns = table_columns(view)
    full = [{IS_DELETED: False, **row} for row in rows]
    values = [tuple(row.get(column.name) for column in columns) for row in full]
    found = superseded_rows(spark.createDataFrame(values, columns_ddl(columns)), view, until=UNTIL)
    left = [(row["user_id"], row[CREATED_TIMESTAMP]) for row in found.toArrow().to_pylist()]
    assert sorted(left) == [(1, at("06")), (1, at("07"))]


def test_runs_append_while_rows_are_dropped(spark: SparkSession, store: DeltaStore) -> None:
    append(store, spark, VIEW, history(1), "run-1")
    ended = threading.Event()
    dropped: list[int | None] = []

    def keep_up() -> None:
        until = at("10")
        while not ended.is_set():
            dropped.append(drop(spark, store, VIEW, until))
            until += timedelta(days=1)

    def run(first: int) -> None:
        for number in range(first, first + 4):
            row = {"user_id": 1000 + number, EVENT_TIMESTAMP: day(number).start, "clicks": number}
            append(store, spark, VIEW, [row], f"run-{number}", interval=day(number))

    with ThreadPoolExecutor(3) as pool:
        upkeep = pool.submit(keep_up)
        runs = [pool.submit(run, first) for first in (2, 6)]
        try:
            for each in runs:
                each.result()
        finally:
            ended.set()
        upkeep.result()
    dropped.append(drop(spark, store, VIEW, at("2030-01-01T00:00:00Z")))
    left = read(store)
    assert [row["user_id"] for row in left if row["user_id"] >= 1000] == list(range(1002, 1010))
    assert sum(count or 0 for count in dropped) == len(history(1)) + 8 - len(left) > 0
    assert len({commit.run_id for commit in store.commits(VIEW)}) == 9


def test_the_log_tells_which_commits_may_have_replaced_rows(spark: SparkSession, store: DeltaStore) -> None:
    rows = history(3)[:2]
    append(store, spark, VIEW, rows, "run-1")
    path, never = store.path(VIEW), at("2100-01-01T00:00:00Z")
    assert restatements(path, never, every_commit=False).commits == 0
    assert restatements(path, never, every_commit=True).rows == 2
    append(store, spark, VIEW, rows, "run-2", generation=2)
    found = restatements(path, never, every_commit=False)
    assert (found.commits, found.rows, found.times) == (1, 2, Interval(day(1).start, day(1).end))
    early = restatements(path, at("01"), every_commit=False)
    assert (early.commits, early.newest, early.delta_version) == (0, 2, 2)
    drop(spark, store, VIEW, never)
    assert restatements(path, never, every_commit=False).commits == 0, "looked at"
    store.append_rows(table_rows(spark, VIEW, rows), VIEW, app_id="landed", metadata="{}")
    later = restatements(path, never + timedelta(days=1), every_commit=False)
    assert (later.commits, later.times) == (0, None), "committed before what was looked at last"
