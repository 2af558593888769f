"""The point-in-time join: against a naive join on generated histories, and edge by edge."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.engines.spark.historical import IS_CURRENT, ROW, point_in_time_join, snapshot, with_row_numbers
from featurestore.engines.spark.statements import HistoricalLookup
from featurestore.errors import EntityKeyMissing, FeatureNameCollision
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import AggregationNode, Aggregations, FieldNode, ViewNode
from featurestore.ir.schedule import parse_schedule
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Array, Decimal, Int64, Map, String
from tests.support.naive_join import Statement, as_of
from tests.support.offline_views import at, plain_view, table_rows

pytestmark = pytest.mark.spark

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = at("2026-01-01")
_VALUES = (FieldNode(name="n", dtype=Int64), FieldNode(name="total", dtype=Int64))
PLAIN = plain_view(name="plain", features=_VALUES)
AGGREGATE = plain_view(
    name="windows",
    features=_VALUES,
    transformation=Aggregations(
        items=(
            AggregationNode(name="n", function=AggregationFunction.COUNT, column=None, window=DAY, dtype=Int64),
            AggregationNode(name="total", function=AggregationFunction.SUM, column="x", window=DAY, dtype=Int64),
        )
    ),
)
COVERAGE = Coverage.of([Interval(START, START + 2 * DAY), Interval(START + 3 * DAY, START + 4 * DAY)])
VARIANTS: tuple[tuple[ViewNode, dict[str, Any]], ...] = (
    (PLAIN, {}),
    (replace(PLAIN, ttl=6 * HOUR), {}),
    (PLAIN, {"created_before_event": True}),
    (replace(PLAIN, data_delay=HOUR), {"availability": "scheduled"}),
    (replace(PLAIN, schedule=parse_schedule(6 * HOUR)), {"availability": "scheduled", "created_before_event": True}),
    (AGGREGATE, {"coverage": COVERAGE}),
    (replace(AGGREGATE, ttl=6 * HOUR), {"coverage": COVERAGE}),
    (replace(AGGREGATE, data_delay=HOUR), {"coverage": COVERAGE, "availability": "scheduled"}),
)
_instants = st.integers(0, 9).map(lambda number: START + number * 12 * HOUR)
_statement = st.builds(
    Statement,
    event=_instants,
    created=_instants,
    is_deleted=st.sampled_from([False, False, False, True]),
    values=st.sampled_from([(0, None), (0, None), (1, None), (1, 5), (2, 5), (None, 7)]),
)
_history = st.tuples(st.lists(_statement, min_size=1, max_size=8), st.lists(_instants, min_size=4, max_size=4))


def _spine(
    spark: SparkSession, rows: list[tuple[Any, ...]], ddl: str = "user_id bigint, event_timestamp timestamp"
) -> DataFrame:
    return spark.createDataFrame([(*row, number) for number, row in enumerate(rows)], f"{ddl}, {ROW} bigint")


def _collect(joined: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in joined.orderBy(ROW).collect()]


def _histories(count: int) -> list[tuple[list[Statement], list[datetime]]]:
    """Generate histories of one key each, to be joined in one Spark job."""
    histories = []

    @settings(max_examples=count, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(_history)
    def collect(history: tuple[list[Statement], list[datetime]]) -> None:
        histories.append(history)

    collect()
    return histories


def test_every_variant_agrees_with_the_naive_join(spark: SparkSession) -> None:
    histories = _histories(300)
    rows = [
        {
            "user_id": key,
            "event_timestamp": said.event,
            "created_timestamp": said.created,
            "is_deleted": said.is_deleted,
            "n": said.values[0],
            "total": said.values[1],
        }
        for key, (statements, _) in enumerate(histories)
        for said in statements
    ]
    table = table_rows(spark, PLAIN, rows)
    lookups = [
        HistoricalLookup(view=view, rows=table, features=(("n", f"n{i}"), ("total", f"total{i}")), **options)
        for i, (view, options) in enumerate(VARIANTS)
    ]
    spine = [(key, instant) for key, (_, instants) in enumerate(histories) for instant in instants]
    columns = [name for i in range(len(VARIANTS)) for name in (f"n{i}", f"total{i}")]
    found = _collect(point_in_time_join(_spine(spark, spine), lookups), *columns)
    expected = [
        tuple(value for lookup in lookups for value in as_of(lookup, histories[key][0], instant))
        for key, instant in spine
    ]
    wrong = [
        (spine[i], found[i], expected[i], histories[spine[i][0]][0])
        for i in range(len(spine))
        if found[i] != expected[i]
    ]
    assert not wrong


def test_each_spine_row_comes_once_with_its_columns_and_bounds_are_inclusive(spark: SparkSession) -> None:
    view = plain_view(ttl=6 * HOUR)
    one, micro = at("01T06"), timedelta(microseconds=1)
    table = table_rows(
        spark,
        view,
        [
            {"user_id": 1, "event_timestamp": one, "clicks": 2**53 + 1, "city": None},
            {"user_id": 1, "event_timestamp": at("03"), "clicks": None, "city": ""},
        ],
    )
    spine = [
        (1, one, "a"), (1, one, "a"), (1, one - micro, "early"), (1, one + 6 * HOUR, "last"),
        (1, one + 6 * HOUR + micro, "late"), (None, one, "null"), (9, one, "unknown"), (1, None, "no time"),
        (1, at("03"), "b"),
    ]  # fmt: skip
    frame = _spine(spark, spine, "user_id bigint, event_timestamp timestamp, label string")
    lookup = HistoricalLookup(view=view, rows=table, features=(("clicks", "clicks"), ("city", "city")), header="seen")
    joined = point_in_time_join(frame, [lookup])
    assert joined.columns == ["user_id", "event_timestamp", "label", ROW, "clicks", "city", "seen"]
    big = 2**53 + 1
    expected = [(big, None), (big, None), (None, None), (big, None), *[(None, None)] * 4, (None, "")]
    found = _collect(joined, "label", "clicks", "city")
    assert found == [(label, *values) for (_, _, label), values in zip(spine, expected, strict=True)]
    assert [seen is not None for (seen,) in _collect(joined, "seen")] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
        False,
        True,
    ]


def test_views_of_other_keys_are_joined_too_and_every_type_passes_through(spark: SparkSession) -> None:
    pair = plain_view(
        name="pairs",
        join_keys=(FieldNode(name="a", dtype=String), FieldNode(name="b", dtype=Int64)),
        features=(
            FieldNode(name="tags", dtype=Array(Int64)),
            FieldNode(name="share", dtype=Map(String, Int64)),
            FieldNode(name="price", dtype=Decimal(38, 2)),
        ),
    )
    values = {"tags": [1, None], "share": {"x": 1}}
    rows = [
        {"a": "1", "b": 23, "event_timestamp": START, **values},
        {"a": "12", "b": 3, "event_timestamp": START, "tags": []},
    ]
    pairs = HistoricalLookup(
        view=pair,
        rows=table_rows(spark, pair, rows),
        features=(("tags", "tags"), ("share", "share"), ("price", "price")),
        join_key_map=(("a", "sender"),),
        created_before_event=True,
    )
    users = plain_view()
    user_rows = table_rows(spark, users, [{"user_id": 23, "event_timestamp": START, "clicks": 4}])
    clicks = HistoricalLookup(view=users, rows=user_rows, features=(("clicks", "c"),), join_key_map=(("user_id", "b"),))
    spine = _spine(
        spark,
        [("1", 23, START), ("12", 3, START), (None, 23, START)],
        "sender string, b int, event_timestamp timestamp",
    )
    found = _collect(point_in_time_join(spine, [pairs, clicks]), "tags", "share", "price", "c")
    assert found == [([1, None], {"x": 1}, None, 4), ([], None, None, None), (None, None, None, 4)]


def test_spine_keys_are_converted_without_loss_or_refused(spark: SparkSession) -> None:
    view = plain_view()
    table = table_rows(spark, view, [{"user_id": 3, "event_timestamp": START, "clicks": 1}])
    lookup = HistoricalLookup(view=view, rows=table, features=(("clicks", "clicks"),))
    for ddl, values in (("double", [3.0, float("nan")]), ("string", ["3", None]), ("int", [3, 4])):
        spine = _spine(spark, [(value, START) for value in values], f"user_id {ddl}, event_timestamp timestamp")
        assert _collect(point_in_time_join(spine, [lookup]), "clicks") == [(1,), (None,)]
    bad = _spine(spark, [(3.0, START), (3.5, START)], "user_id double, event_timestamp timestamp")
    with pytest.raises(PySparkException, match=r"join key user_id, row 1: found 3\.5, which is no bigint"):
        point_in_time_join(bad, [lookup]).collect()
    with pytest.raises(EntityKeyMissing, match="no column 'user_id'"):
        point_in_time_join(_spine(spark, [(3, START)], "other bigint, event_timestamp timestamp"), [lookup])
    with pytest.raises(FeatureNameCollision, match="'clicks' comes from view 'user_data' and from view 'user_data'"):
        point_in_time_join(_spine(spark, [(3, START)]), [lookup, lookup])


def test_a_deletion_counts_from_when_it_was_stated_and_the_value_before_it_stands_again(spark: SparkSession) -> None:
    one, two = START, START + HOUR
    rows = [
        {"user_id": 1, "event_timestamp": one, "clicks": 1},
        {"user_id": 1, "event_timestamp": two, "clicks": 2},
        {"user_id": 1, "event_timestamp": two, "created_timestamp": START + 3 * HOUR, "is_deleted": True},
        {"user_id": 1, "event_timestamp": two, "created_timestamp": START + 5 * HOUR, "clicks": 4},
    ]
    table = table_rows(spark, plain_view(), rows)
    lookup = HistoricalLookup(view=plain_view(), rows=table, features=(("clicks", "then"),), created_before_event=True)
    now = replace(lookup, features=(("clicks", "now"),), created_before_event=False)
    spine = _spine(spark, [(1, START + hours * HOUR) for hours in range(6)])
    found = _collect(point_in_time_join(spine, [lookup, now]), "then", "now")
    assert found == [(1, 1), (2, 4), (2, 4), (1, 4), (1, 4), (4, 4)]


def test_actual_availability_counts_from_the_recorded_publication(spark: SparkSession) -> None:
    rows = [
        {"user_id": 1, "event_timestamp": START, "clicks": 1},
        {"user_id": 1, "event_timestamp": START + HOUR, "clicks": 2},
    ]
    published = F.when(F.col("clicks") == 1, F.lit(START + DAY))
    table = table_rows(spark, plain_view(), rows).withColumn("published_at", published)
    lookup = HistoricalLookup(view=plain_view(), rows=table, features=(("clicks", "clicks"),), availability="actual")
    spine = _spine(spark, [(1, START + 2 * HOUR), (1, START + DAY)])
    assert _collect(point_in_time_join(spine, [lookup]), "clicks") == [(None,), (1,)]


def test_a_snapshot_has_every_key_once_and_says_which_are_current(spark: SparkSession) -> None:
    view = plain_view(ttl=DAY)
    rows = [
        {"user_id": 1, "event_timestamp": START, "clicks": 1},
        {"user_id": 2, "event_timestamp": START + DAY, "clicks": 2},
        {"user_id": 3, "event_timestamp": START + 3 * DAY, "clicks": 3},
    ]
    lookup = HistoricalLookup(
        view=view, rows=table_rows(spark, view, rows), features=(("clicks", "clicks"),), header="seen"
    )
    found = snapshot(lookup, F.lit(START + 2 * DAY)).orderBy("user_id").collect()
    assert [(row.user_id, row[IS_CURRENT], row.clicks) for row in found] == [(1, False, None), (2, True, 2)]
    assert all(row.seen is not None for row in found)


def test_row_numbers_are_added_and_nanoseconds_cut() -> None:
    instants = pa.array([datetime(2026, 1, 1), None], pa.timestamp("ns"))
    spine = with_row_numbers(pa.table({"user_id": [1, 2], "event_timestamp": instants}))
    assert spine.column(ROW).to_pylist() == [0, 1]
    assert spine.schema.field("event_timestamp").type == pa.timestamp("us")
