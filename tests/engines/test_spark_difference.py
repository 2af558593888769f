"""What is appended so that a run's rows stand."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore.engines.spark.difference import rows_to_append
from featurestore.intervals import from_micros
from featurestore.ir.nodes import Passthrough
from featurestore.spec.dtypes import Array, Float64, Int64, Map, String
from tests.support.engine_runs import view_of

pytestmark = pytest.mark.spark

VIEW = view_of({"n": Int64, "x": Float64, "m": Map(String, Int64), "a": Array(Float64)}, Passthrough())
SCHEMA = (
    "k bigint, event_timestamp timestamp, created_timestamp timestamp, n bigint, x double, m map<string,bigint>, "
    "a array<double>"
)
CLAIM = from_micros(100)
NAN = float("nan")

Row = tuple[Any, ...]


def row(key: int, created: int, n: int | None = None, x: float | None = None, **nested: Any) -> Row:
    return (key, from_micros(0), from_micros(created), n, x, nested.get("m"), nested.get("a"))


def append(spark: SparkSession, target: list[Row], standing: list[Row], extra: str = "") -> list[Row]:
    """Give (key, created micros, is_deleted, n) of the rows to append."""
    frames = [spark.createDataFrame(target, SCHEMA), spark.createDataFrame(standing, SCHEMA + extra)]
    rows = rows_to_append(frames[0], frames[1], view=VIEW, created=CLAIM)
    expected = ["k", "event_timestamp", "created_timestamp", "is_deleted", "n", "x", "m", "a"]
    assert rows.columns == expected
    return sorted((r["k"], r["created_timestamp"].microsecond, r["is_deleted"], r["n"]) for r in rows.collect())


def test_new_same_corrected_and_gone(spark: SparkSession) -> None:
    target = [row(1, 50, 1), row(2, 50, 2), row(3, 50, 3), row(4, 300, 4), row(5, 50, 5)]
    standing = [row(2, 50, 2), row(3, 50, 9), row(4, 50, 9), row(5, 200, 9), row(6, 50, 6), row(7, 200, 7)]
    assert append(spark, target, standing) == [
        (1, 50, False, 1),
        (3, 100, False, 3),
        (4, 300, False, 4),
        (5, 201, False, 5),
        (6, 100, True, None),
        (7, 201, True, None),
    ]


def test_where_nothing_stands_all_is_appended_as_it_is(spark: SparkSession) -> None:
    target = spark.createDataFrame([row(1, 50, 1), row(1, 60, 2), row(2, 50, None, NAN)], SCHEMA)
    nothing = spark.createDataFrame([], SCHEMA)
    joined, plain = (rows_to_append(target, standing, view=VIEW, created=CLAIM) for standing in (nothing, None))
    assert plain.dtypes == joined.dtypes
    assert sorted(map(str, plain.collect())) == sorted(map(str, joined.collect()))


def test_equal_values_are_equal_bits(spark: SparkSession) -> None:
    same: list[dict[str, Any]] = [{"x": NAN}, {"m": {"b": 1, "a": None}}, {"a": [NAN, None, 0.0]}, {}]
    turned = {"m": {"a": None, "b": 1}}
    target = [row(key, 50, **values) for key, values in enumerate(same)]
    standing = [row(key, 50, **(turned if "m" in values else values)) for key, values in enumerate(same)]
    assert append(spark, target, standing) == []
    different: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"x": 0.0}, {"x": -0.0}),
        ({"x": 0.0}, {}),
        ({"a": [0.0]}, {"a": [-0.0]}),
        ({"a": []}, {}),
        ({"m": {}}, {}),
        ({"m": {"a": 1}}, {"m": {"a": None}}),
    ]
    target = [row(key, 50, **new) for key, (new, _) in enumerate(different)]
    standing = [row(key, 50, **old) for key, (_, old) in enumerate(different)]
    assert [found[0] for found in append(spark, target, standing)] == list(range(len(different)))


def test_several_statements_of_one_event(spark: SparkSession) -> None:
    statements = [row(1, 10, 1), row(1, 20, 2), row(1, 30, 3)]
    assert len(append(spark, statements, [])) == 3
    assert append(spark, statements, [row(1, 30, 3)]) == []
    assert append(spark, statements, [row(1, 10, 1)]) == [(1, 20, False, 2), (1, 30, False, 3)]
    assert append(spark, statements[:1], [row(1, 30, 3)]) == [(1, 100, False, 1)]


def test_a_row_outdoes_the_deletion_that_stands(spark: SparkSession) -> None:
    deleted = [(*row(1, 200), True), (*row(2, 200), True)]
    assert append(spark, [row(1, 50, 1)], deleted, ", is_deleted boolean") == [(1, 201, False, 1)]
