"""The benchmark's views in a project of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.data import VIEWS, ViewShape, view_table
from featurestore import Entity, FeatureStore, FeatureView, Field, FileSource, Model, PredictionView
from featurestore.types import Float32, Float64, Int64

__all__ = ["DAY", "USER", "first_day", "make_project", "open_project", "prediction_view", "stored_view"]

USER = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])
DAY = timedelta(days=1)
_MODELS = Path(__file__).with_name("bench_models")


def first_day() -> datetime:
    """Give the start of the day before yesterday."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY


def stored_view(shape: ViewShape, path: Path) -> FeatureView:
    """Define a view of a Parquet file's or folder's columns as they are."""
    return FeatureView(
        name=shape.name,
        entities=[USER],
        schema=[Field(name=column, dtype=Float32 if shape.is_single else Float64) for column in shape.columns],
        source=FileSource(name=f"{shape.name}_rows", path=str(path), timestamp_field="event_timestamp"),
        start=first_day(),
        schedule="@daily",
        ttl=None,
    )


def prediction_view(
    inputs: FeatureView, *, max_age: timedelta = 2 * DAY, load: str = "load", is_scheduled: bool = False
) -> PredictionView:
    """Define a score from all features of a view."""
    return PredictionView(
        name=f"{inputs.name}_score",
        entities=[USER],
        features=inputs,
        model=Model(name="mean", version="1", load=f"bench_models.mean:{load}"),
        outputs=[Field(name="score", dtype=Float64)],
        max_age=max_age,
        start=first_day() if is_scheduled else None,
        schedule="@daily" if is_scheduled else None,
    )


def open_project(folder: Path, name: str, redis_url: str, objects: Sequence[object]) -> FeatureStore:
    """Open a project in ``folder`` and apply the definitions."""
    shutil.copytree(_MODELS, folder / "bench_models", dirs_exist_ok=True)
    config = {
        "project": name,
        "definitions": "bench_models",
        "online_store": {"type": "redis", "connection_string": redis_url},
    }
    store = FeatureStore(folder, config)
    store.apply([USER, *objects])
    return store


def make_project(folder: Path, redis_url: str, views: Sequence[str]) -> FeatureStore:
    """Open a project with the views, and scores from those that a lookup reads with predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = []
    for name in views:
        path = folder / f"{name}.parquet"
        pq.write_table(view_table(VIEWS[name], 1), path)
        stored.append(stored_view(VIEWS[name], path))
    scores = [prediction_view(view) for view in stored if view.name in ("ten", "left")]
    return open_project(folder, "bench", redis_url, [*stored, *scores])
