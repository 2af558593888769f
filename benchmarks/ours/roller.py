"""Daily rolls of windowed aggregations from stored tiles, and from all events: ``python -m benchmarks.ours.roller``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.protocol import serve
from featurestore.engines.base import ComputedStep, ComputeRequest
from featurestore.engines.spark.engine import SparkEngine
from featurestore.intervals import Interval
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    DeltaSourceNode,
    FieldNode,
    SourceInput,
    ViewNode,
)
from featurestore.ir.schedule import parse_schedule
from featurestore.runtime.session import open_session
from featurestore.runtime.tiles import standing_tiles
from featurestore.settings import load_settings
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Float64, Int64, Timestamp
from featurestore.stores.delta_tiles import DeltaTiles

_START = datetime(2025, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_FUNCTIONS = {"count": (None, Int64), "sum": ("amount", Int64), "mean": ("score", Float64)}
_FIELDS = (("user_id", Int64), ("at", Timestamp), ("amount", Int64), ("score", Float64))
_opened: dict[str, Any] = {}


def open_source(folder: str, days: int, users: int, events_a_day: int, hot_share: float) -> None:
    """Write a Delta table of events, a commit a day; ``hot_share`` of the events are one user's."""
    root = Path(folder)
    root.mkdir(parents=True)
    random = np.random.default_rng(3)
    for day in range(days):
        micros = np.sort(random.integers(0, 86_400_000_000, events_a_day)) + int(_START.timestamp() * 1e6)
        user = random.integers(1, users + 1, events_a_day)
        user[random.random(events_a_day) < hot_share] = 1
        events = pa.table(
            {
                "user_id": user,
                "at": pa.array(micros + day * 86_400_000_000).cast(pa.timestamp("us", "UTC")),
                "amount": random.integers(0, 1_000, events_a_day),
                "score": random.random(events_a_day),
            }
        )
        write_deltalake(str(root / "events"), events, mode="append")
    if "spark" not in _opened:
        (root / "feature_store.yaml").write_text("project: rolls\n", encoding="utf-8")
        _opened["spark"] = open_session(load_settings(root))
    schema = tuple(FieldNode(name=name, dtype=dtype) for name, dtype in _FIELDS)
    _opened["source"] = DeltaSourceNode(name="events", path="events", timestamp_field="at", schema=schema)
    _opened["root"] = root


def roll(day: int, window_days: Sequence[float], functions: Sequence[str]) -> dict[str, Any]:
    """Compute the step that ends with ``day`` from stored tiles, building what is lacking."""
    view, interval, engine = _view(window_days, functions), _step(day), _engine()
    source, tiles = _opened["source"], DeltaTiles(_opened["spark"], str(_opened["root"]))

    def compute(request: ComputeRequest) -> ComputedStep[Any]:
        pin = request.pins[source.name]
        stored = standing_tiles(view, source, interval, pin, engine=engine, tiles=tiles)
        return engine.compute(request, stored=stored)

    return _measured(view, interval, engine, compute)


def recompute(day: int, window_days: Sequence[float], functions: Sequence[str]) -> dict[str, Any]:
    """Compute the same step from the events of its windows."""
    engine = _engine()
    return _measured(_view(window_days, functions), _step(day), engine, engine.compute)


def _measured(
    view: ViewNode, interval: Interval, engine: SparkEngine, compute: Callable[[ComputeRequest], ComputedStep[Any]]
) -> dict[str, Any]:
    pins = {"events": engine.pin(_opened["source"])}
    request = ComputeRequest(view=view, interval=interval, first=False, created=interval.end, pins=pins)
    started, before = time.perf_counter(), _bytes_read()
    step = compute(request)
    target = str(_opened["root"] / "rows")
    step.rows.write.mode("overwrite").parquet(target)
    return {"seconds": time.perf_counter() - started, "bytes": _bytes_read() - before, **step.metrics()}


def _bytes_read() -> int:
    """Count what Hadoop's file systems read in this process: data, and the logs of Delta tables."""
    statistics = _opened["spark"]._jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics()
    return sum(int(entry.getBytesRead()) for entry in statistics)


def _engine() -> SparkEngine:
    root, source = _opened["root"], _opened["source"]
    no_parents: dict[str, Any] = {}
    return SparkEngine(
        _opened["spark"],
        sources={source.name: source}.__getitem__,
        resolve=lambda path: str(root / path),
        parents=no_parents.__getitem__,
    )


def _step(day: int) -> Interval:
    return Interval(_START + (day - 1) * _DAY, _START + day * _DAY)


def _view(window_days: Sequence[float], functions: Sequence[str]) -> ViewNode:
    items = tuple(
        AggregationNode(
            name=f"{function}_{number}",
            function=AggregationFunction(function),
            column=_FUNCTIONS[function][0],
            window=timedelta(days=days),
            dtype=_FUNCTIONS[function][1],
        )
        for number, days in enumerate(window_days)
        for function in functions
    )
    return ViewNode(
        name="rolled",
        join_keys=(FieldNode(name="user_id", dtype=Int64),),
        entities=("user",),
        inputs=(SourceInput(source="events"),),
        transformation=Aggregations(items=items),
        features=tuple(FieldNode(name=item.name, dtype=item.dtype) for item in items),
        start=_START,
        schedule=parse_schedule("@daily"),
        ttl=None,
        online=False,
        late_data=timedelta(0),
        data_delay=timedelta(0),
        on_expired="null",
        freshness=None,
    )


def close() -> None:
    """Stop Spark."""
    if "spark" in _opened:
        _opened.pop("spark").stop()


if __name__ == "__main__":
    serve({verb.__name__: verb for verb in (open_source, roll, recompute, close)})
