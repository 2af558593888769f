"""Materialization and publication of one wide table by Spark: ``python -m benchmarks.ours.publisher``."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.data import VIEWS, view_table
from benchmarks.ours.project import DAY, first_day, model_calls, open_project, prediction_view, stored_view
from benchmarks.priority import give_way
from benchmarks.protocol import serve
from featurestore import FeatureStore
from featurestore.ir.columns import table_location

_VIEW = VIEWS["ten"]
_SCORE = f"{_VIEW.name}_score"
_opened: list[FeatureStore] = []


def open_store(folder: str, url: str, rows: int, changed: int, *, scored: bool = False) -> None:
    """Make a project over a day with one row for each of ``rows`` users, and a next day with ``changed`` of them."""
    source = Path(folder) / "source"
    source.mkdir(parents=True)
    for number, users in enumerate((rows, changed)):
        at = first_day() + number * DAY + timedelta(hours=12)
        pq.write_table(view_table(_VIEW, users, at=at), source / f"{number}.parquet")
    view = stored_view(_VIEW, source)
    objects = [view, prediction_view(view, max_age=4 * DAY, is_scheduled=True)] if scored else [view]
    spark = _opened[-1].runtime.spark if _opened else None
    store = open_project(Path(folder), "scored" if scored else "publication", url, objects)
    _opened.append(FeatureStore(store.settings.repo, _config(store), spark=spark) if spark else store)


def _config(store: FeatureStore) -> dict[str, Any]:
    settings = store.settings
    return {
        "project": settings.project,
        "definitions": settings.definitions,
        "spark": {"profile": settings.spark_profile},
        "online_store": {"type": "redis", "connection_string": settings.redis_url},
    }


def materialize(day: int, *, with_scores: bool = False) -> dict[str, Any]:
    """Compute and publish one of the two days; give its published rows."""
    start = first_day() + day * DAY
    views = [_VIEW.name, _SCORE] if with_scores else [_VIEW.name]
    result = _opened[-1].materialize(start, start + DAY, views).to_dict()
    failed = {name: view["error"] for name, view in result["views"].items() if view["error"]}
    if failed:
        raise RuntimeError(f"day {day}: {failed}")
    return dict(result["views"][_VIEW.name]["published"])


def publish() -> dict[str, Any]:
    """Publish what the online store lacks; give seconds and counts."""
    start = time.perf_counter()
    result = _opened[-1].publish([_VIEW.name]).to_dict()
    return {"seconds": time.perf_counter() - start, **result["views"][_VIEW.name]["published"]}


def score(day: int) -> dict[str, Any]:
    """Score a day's features; give the seconds of computing and committing, publication left out."""
    start = first_day() + day * DAY
    result = _opened[-1].materialize(start, start + DAY, [_SCORE]).to_dict()["views"][_SCORE]
    [interval] = result["intervals"]
    return {"seconds": sum(interval["seconds"].values()), "rows": interval["rows"]}


def score_plainly(day: int) -> dict[str, Any]:
    """Do what a script would: the model in a ``pandas_udf`` over the day's rows, written as a Delta table."""
    from pyspark.sql import functions as F

    store = _opened[-1]
    spark, view = store.runtime.spark, store.manifest.stored_view(_VIEW.name)
    started = time.perf_counter()
    begin = first_day() + day * DAY
    rows = spark.read.format("delta").load(f"{store.settings.offline_root}/{table_location(view)}")
    rows = rows.where((F.col("event_timestamp") >= begin) & (F.col("event_timestamp") < begin + DAY))
    score = F.pandas_udf(_mean_of, "double")(F.struct(*_VIEW.columns))
    path = f"{store.settings.repo}/plain/{day}"
    rows.select("user_id", "event_timestamp", score.alias("score")).write.format("delta").save(path)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows": spark.read.format("delta").load(path).count()}


def _mean_of(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(np.mean(rows.to_numpy(), axis=1))


def step_aside() -> int:
    """Give way to lookups and Redis, as a publisher on other machines would."""
    return give_way(os.getpid())


def live_calls(users: int) -> dict[str, Any]:
    """Look all users' scores up; give the calls of the model in this process, and the answers' statuses."""
    response = _opened[-1].get_online_features([f"{_SCORE}:score"], {"user_id": list(range(1, users + 1))})
    statuses = Counter(str(answer.status) for answer in response.predictions[_SCORE])
    return {"calls": model_calls(), "statuses": statuses}


def close() -> None:
    """Stop Spark."""
    while _opened:
        _opened.pop().close()


VERBS = (open_store, materialize, publish, score, score_plainly, step_aside, live_calls, close)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})
