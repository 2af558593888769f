"""Rows as they are, SQL, PySpark functions and chaining."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.errors import DefinitionError, SchemaMismatch, TransformationFailed
from featurestore.ir.nodes import (
    CodeRef,
    FunctionTransformation,
    Passthrough,
    SourceInput,
    SqlTransformation,
    ViewInputNode,
)
from featurestore.spec.dtypes import Float64, Int32, Int64, String, Timestamp
from tests.support.engine_runs import (
    CREATED,
    EVENTS,
    compute,
    engine_of,
    fields,
    file_source,
    instant,
    run,
    view_of,
    write_events,
)

pytestmark = pytest.mark.spark

ROWS = [
    (1, instant("01 06:00"), 1, 0.5, "a"),
    (1, instant("02 06:00"), 2, 1.5, "b"),
    (2, instant("02 00:00"), 3, 2.5, "c"),
    (None, instant("02 00:00"), 4, 3.5, "d"),
    (1, instant("03 00:00"), 5, 4.5, "e"),
]


def sql(text: str, *, per: Any = "step", lookback: timedelta | None = None) -> SqlTransformation:
    return SqlTransformation(text=text, per=per, lookback=lookback)


def doubled(events: DataFrame) -> DataFrame:
    return events.groupBy("k").agg((F.sum("n") * 2).alias("doubled"))


def broken(events: DataFrame) -> DataFrame:
    raise KeyError("no such thing")


def no_frame(events: DataFrame) -> int:
    return 3


def function(name: str, **options: Any) -> FunctionTransformation:
    code = CodeRef(path=f"{__name__}:{name}", digest="d")
    return FunctionTransformation(code=code, **({"per": "step", "lookback": None} | options))


def test_rows_pass_through_within_the_interval(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, ROWS)
    node, view = file_source(), view_of({"n": Int64, "s": String}, Passthrough())
    step = compute(engine_of(spark, tmp_path, node), view, "02", "03", node)
    assert step.rows.columns == ["k", "event_timestamp", "created_timestamp", "n", "s"]
    assert sorted(tuple(row)[:1] + tuple(row)[3:] for row in step.rows.collect()) == [(1, 2, "b"), (2, 3, "c")]
    assert step.metrics() == {"rows_read": 3, "null_keys_dropped": 1}
    assert {row["created_timestamp"] for row in step.rows.collect()} == {CREATED.replace(tzinfo=None)}
    assert (step.event_range.start, step.event_range.end) == (instant("02"), instant("03"))


def test_one_identity_has_one_row_the_greatest(spark: SparkSession, tmp_path: Path) -> None:
    at = instant("02 01:00")
    rows = [(1, at, 1, 0.5, "z"), (1, at, 2, None, "a"), (1, at, 2, -0.5, "a")]
    view = view_of({"n": Int64, "x": Float64}, Passthrough())
    for order in (rows, rows[::-1]):
        assert run(spark, tmp_path, order, view, "02", "03") == [(1, "02 01:00", 2, -0.5)]


def test_statements_of_one_event_keep_their_created_times(spark: SparkSession, tmp_path: Path) -> None:
    types = {**EVENTS, "made": Timestamp}
    at = instant("02 01:00")
    rows = [(1, at, 1, None, None, instant("03")), (1, at, 2, None, None, instant("04")), (1, at, 3, None, None, None)]
    write_events(tmp_path, rows, types)
    node = file_source(schema=fields(types), created_timestamp_column="made")
    step = compute(engine_of(spark, tmp_path, node), view_of({"n": Int64}, Passthrough()), "02", "03", node)
    found = {row["n"]: row["created_timestamp"].replace(tzinfo=CREATED.tzinfo) for row in step.rows.collect()}
    assert found == {1: instant("03"), 2: instant("04"), 3: CREATED}


def test_sql_per_row_keeps_event_times(spark: SparkSession, tmp_path: Path) -> None:
    view = view_of({"more": Int64}, sql("SELECT k, ts, n + 1 AS more FROM {events}", per="row"))
    assert run(spark, tmp_path, ROWS, view, "02", "03") == [(1, "02 06:00", 3), (2, "02 00:00", 4)]


def test_sql_per_step_runs_once_a_step_over_its_lookback(spark: SparkSession, tmp_path: Path) -> None:
    text = "SELECT k, sum(n) AS total FROM {events} GROUP BY k"
    view = view_of({"total": Int64}, sql(text))
    assert run(spark, tmp_path, ROWS, view, "01", "03") == [(1, "02 00:00", 1), (1, "03 00:00", 2), (2, "03 00:00", 3)]
    view = view_of({"total": Int64}, sql(text, lookback=timedelta(days=2)))
    assert run(spark, tmp_path, ROWS, view, "02", "03") == [(1, "03 00:00", 3), (2, "03 00:00", 3)]
    assert [table.name for table in spark.catalog.listTables() if table.isTemporary] == []


def test_a_step_end_belongs_to_the_step_it_ends(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, ROWS)
    node, view = file_source(), view_of({"total": Int64}, sql("SELECT k, sum(n) AS total FROM {events} GROUP BY k"))
    step = compute(engine_of(spark, tmp_path, node), view, "02", "03", node)
    assert instant("02") not in step.event_range
    assert instant("03") in step.event_range
    step.rows.collect()
    assert step.metrics() == {"rows_computed": 3, "null_keys_dropped": 1}


def test_a_function_takes_frames_and_gives_one(spark: SparkSession, tmp_path: Path) -> None:
    view = view_of({"doubled": Int64}, function("doubled"))
    assert run(spark, tmp_path, ROWS, view, "02", "03") == [(1, "03 00:00", 4), (2, "03 00:00", 6)]


@pytest.mark.parametrize(
    ("transformation", "error", "message"),
    [
        (function("broken"), TransformationFailed, r"view 'view': .*:broken raised KeyError: 'no such thing'"),
        (function("no_frame"), TransformationFailed, "gave a int; valid is a PySpark DataFrame"),
        (sql("SELECT nothing FROM {events}"), TransformationFailed, "view 'view': its SQL failed: .*nothing"),
        (sql("SELECT * FROM {clicks}"), DefinitionError, r"\{clicks\} names no input; valid are \{events\}"),
        (sql("SELECT k, n AS total FROM {events}", per="row"), DefinitionError, "gives the event time"),
        (sql("SELECT k, ts, s AS total FROM {events}"), SchemaMismatch, "total: found string, valid is int64"),
        (sql("SELECT k, ts FROM {events}"), SchemaMismatch, "total: found no such column"),
    ],
)
def test_errors_name_the_view_and_what_is_valid(
    spark: SparkSession, tmp_path: Path, transformation: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(spark, tmp_path, ROWS, view_of({"total": Int64}, transformation), "02", "03")


def test_a_value_too_great_for_its_type_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(1, instant("02"), 2**40, None, None)]
    with pytest.raises(Exception, match=r"view 'view', column 'n': found \{\"value\":1099511627776\}, not a int"):
        run(spark, tmp_path, rows, view_of({"n": Int32}, Passthrough()), "02", "03")


def test_a_parent_view_is_seen_as_of_the_step_end(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, ROWS)
    parent = spark.createDataFrame(
        [
            (1, instant("02"), CREATED, "old"),
            (1, instant("03"), CREATED, "at the end"),
            (1, instant("04"), CREATED, "later"),
        ],
        "user_id bigint, event_timestamp timestamp, created_timestamp timestamp, tier string",
    )
    joined = sql("SELECT k, e.ts, p.tier FROM {events} e LEFT JOIN {tiers} p USING (k)")
    node = file_source()
    view = view_of(
        {"tier": String},
        joined,
        inputs=(
            SourceInput(source="events"),
            ViewInputNode(view="profile", features=("tier",), alias="tiers", join_key_map=(("user_id", "k"),)),
        ),
    )
    engine = engine_of(spark, tmp_path, node, parents={"profile": parent}.__getitem__)
    rows = compute(engine, view, "02", "04", node).rows.collect()
    found = sorted((row["k"], row["event_timestamp"].day, row["tier"]) for row in rows)
    assert found == [(1, 2, "at the end"), (1, 3, "later"), (2, 2, None)]
