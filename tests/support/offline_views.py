"""Small compiled views, commits and rows for tests of tables and joins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from featurestore.intervals import Interval, parse_instant
from featurestore.ir.columns import COMPUTED_AT, CREATED_TIMESTAMP, EVENT_TIMESTAMP, IS_DELETED
from featurestore.ir.nodes import FieldNode, Passthrough, SourceInput, ViewNode
from featurestore.ir.schedule import parse_schedule
from featurestore.spec.dtypes import Float64, Int64, String
from featurestore.stores.base import CommitRecord
from featurestore.stores.delta_schema import columns_ddl, table_columns

__all__ = ["at", "commit_record", "day", "plain_view", "table_rows"]


def at(text: str) -> datetime:
    """Read ``02T06`` as 2026-01-02T06:00Z; a whole ISO text as it is."""
    return parse_instant(text if len(text) > 9 else f"2026-01-{text}")


def day(number: int) -> Interval:
    start = at("2026-01-01") + timedelta(days=number - 1)
    return Interval(start, start + timedelta(days=1))


def plain_view(**overrides: Any) -> ViewNode:
    view = ViewNode(
        name="user_data",
        join_keys=(FieldNode(name="user_id", dtype=Int64),),
        entities=("user",),
        inputs=(SourceInput(source="clicks"),),
        transformation=Passthrough(),
        features=(
            FieldNode(name="clicks", dtype=Int64),
            FieldNode(name="rate", dtype=Float64),
            FieldNode(name="city", dtype=String),
        ),
        start=at("2026-01-01"),
        schedule=parse_schedule("@daily"),
        ttl=None,
        online=True,
        late_data=timedelta(0),
        data_delay=timedelta(0),
        on_expired="null",
        freshness=None,
        fingerprint="f" * 64,
        version=1,
        storage_id=1,
    )
    return replace(view, **overrides)


def commit_record(interval: Interval, **overrides: Any) -> CommitRecord:
    record = CommitRecord(
        run_id="run-1",
        view="user_data",
        version=1,
        interval=interval,
        generation=1,
        fingerprint="f" * 64,
        created=interval.end,
        inputs={"clicks": {"delta_version": 3}},
        counts={"rows": 1},
    )
    return replace(record, **overrides)


def table_rows(spark: SparkSession, view: ViewNode, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Make rows of the view's table; created defaults to the event time, deletion to False."""
    columns = table_columns(view)
    values = []
    for row in rows:
        event = row[EVENT_TIMESTAMP]
        full = {CREATED_TIMESTAMP: event, IS_DELETED: False, COMPUTED_AT: event, **row}
        values.append(tuple(full.get(column.name) for column in columns))
    return spark.createDataFrame(values, columns_ddl(columns))
