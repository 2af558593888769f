"""Run the Spark engine over rows given in place: they become a Parquet file, the view its only reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from featurestore.engines.base import ComputedStep, ComputeRequest
from featurestore.engines.spark.engine import SparkEngine
from featurestore.intervals import Interval
from featurestore.ir.nodes import AggregationNode, FieldNode, FileSourceNode, SourceInput, SourceNode, ViewNode
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import DType, Float64, Int64, String, Timestamp
from tests.support.nodes import plain_view

__all__ = [
    "CREATED",
    "EVENTS",
    "aggregation",
    "compute",
    "engine_of",
    "fields",
    "file_source",
    "instant",
    "run",
    "view_of",
    "write_events",
]

CREATED = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
EVENTS = {"k": Int64, "ts": Timestamp, "n": Int64, "x": Float64, "s": String}
_ARROW: dict[DType, Any] = {
    Int64: pa.int64(),
    Float64: pa.float64(),
    String: pa.string(),
    Timestamp: pa.timestamp("us", tz="UTC"),
}


def instant(text: str) -> datetime:
    """Read ``"03 05:00"`` as 2026-01-03T05:00Z."""
    day, _, time = text.partition(" ")
    return datetime.fromisoformat(f"2026-01-{day}T{time or '00:00'}:00+00:00")


def fields(types: Mapping[str, DType]) -> tuple[FieldNode, ...]:
    return tuple(FieldNode(name=name, dtype=dtype) for name, dtype in types.items())


def file_source(**overrides: Any) -> FileSourceNode:
    values: dict[str, Any] = {
        "name": "events",
        "path": "events.parquet",
        "format": "parquet",
        "timestamp_field": "ts",
        "schema": fields(EVENTS),
    }
    return FileSourceNode(**(values | overrides))


def view_of(types: Mapping[str, DType], transformation: Any, **overrides: Any) -> ViewNode:
    return plain_view(
        **{
            "name": "view",
            "join_keys": fields({"k": Int64}),
            "inputs": (SourceInput(source="events"),),
            "transformation": transformation,
            "features": fields(types),
        }
        | overrides
    )


def aggregation(
    name: str, function: str, column: str | None, days: float | None, dtype: DType, **options: Any
) -> AggregationNode:
    window = None if days is None else timedelta(days=days)
    kind = AggregationFunction(function)
    return AggregationNode(name=name, function=kind, column=column, window=window, dtype=dtype, **options)


def engine_of(
    spark: SparkSession,
    folder: Path,
    *sources: SourceNode,
    parents: Callable[[str], DataFrame] | None = None,
) -> SparkEngine:
    nodes = {source.name: source for source in sources}
    no_parents: dict[str, DataFrame] = {}
    return SparkEngine(
        spark,
        sources=nodes.__getitem__,
        resolve=lambda path: str(folder / path),
        parents=parents or no_parents.__getitem__,
    )


def write_events(
    folder: Path,
    rows: Sequence[Sequence[Any]],
    types: Mapping[str, DType] = EVENTS,
    *,
    unit: Literal["us", "ns"] = "us",
) -> None:
    arrow: dict[DType, Any] = {**_ARROW, Timestamp: pa.timestamp(unit, tz="UTC")}
    columns = [pa.array([row[index] for row in rows], type=arrow[dtype]) for index, dtype in enumerate(types.values())]
    pq.write_table(pa.table(dict(zip(types, columns, strict=True))), folder / "events.parquet")


def compute(
    engine: SparkEngine, view: ViewNode, start: str, end: str, *sources: SourceNode, first: bool = True
) -> ComputedStep[DataFrame]:
    pins = {source.name: engine.pin(source) for source in sources}
    interval = Interval(instant(start), instant(end))
    return engine.compute(ComputeRequest(view=view, interval=interval, first=first, created=CREATED, pins=pins))


def run(
    spark: SparkSession,
    folder: Path,
    rows: Sequence[Sequence[Any]],
    view: ViewNode,
    start: str,
    end: str,
    *,
    types: Mapping[str, DType] = EVENTS,
    first: bool = True,
    **source: Any,
) -> list[tuple[Any, ...]]:
    """Give the view's rows as (key, event time as "day hour:minute", features…), sorted."""
    write_events(folder, rows, types)
    node = file_source(schema=fields(types), **source)
    step = compute(engine_of(spark, folder, node), view, start, end, node, first=first)
    return sorted((row["k"], row["event_timestamp"].strftime("%d %H:%M"), *row[3:]) for row in step.rows.collect())
