"""Choosing each key's newest row is left out only where there is nothing to choose."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from featurestore.engines.spark.answers import has_one_row_a_key, newest_rows, spread_rows
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Int64, String
from tests.support.nodes import START, plain_view

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

VIEW = plain_view(join_keys=(FieldNode(name="user_id", dtype=Int64), FieldNode(name="city", dtype=String)))


def appended(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    """Make rows of (user, city, hours since the start, clicked)."""
    at = [(user, city, START + timedelta(hours=hours), START, clicked) for user, city, hours, clicked in rows]
    schema = "user_id bigint, city string, event_timestamp timestamp, created_timestamp timestamp, clicked bigint"
    return spark.createDataFrame(at, schema)


def values(frame: DataFrame) -> set[tuple[Any, ...]]:
    return {(row.user_id, row.city, row.clicked) for row in frame.collect()}


def test_keys_that_differ_in_any_part_are_keys_of_their_own(spark: SparkSession) -> None:
    rows = appended(spark, (1, "Oslo", 0, 10), (1, "Rome", 0, 11), (2, "Oslo", 0, 12))
    assert has_one_row_a_key(rows, VIEW)
    assert values(spread_rows(rows.coalesce(1), VIEW)) == values(newest_rows(rows, VIEW)) == values(rows)


def test_a_key_that_comes_twice_is_noticed_and_its_newest_row_kept(spark: SparkSession) -> None:
    rows = appended(spark, (1, "Oslo", 5, 20), (1, "Oslo", 0, 10), (2, "Oslo", 0, 12))
    assert not has_one_row_a_key(rows, VIEW)
    assert values(newest_rows(rows, VIEW)) == {(1, "Oslo", 20), (2, "Oslo", 12)}
