"""The benchmark's views in a project of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.data import VIEWS, ViewShape, view_table
from benchmarks.ours.bench_models.mean import CALLS
from featurestore import Entity, FeatureStore, FeatureView, Field, FileSource, Model, PredictionView
from featurestore.embedded.spark_profile import packaged_spark_conf
from featurestore.types import Float32, Float64, Int64

__all__ = [
    "DAY",
    "USER",
    "first_day",
    "make_project",
    "model_calls",
    "open_project",
    "prediction_view",
    "stored_view",
]

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


def _count_model_calls(folder: Path) -> None:
    """Have calls of the model counted from now on, by all processes that this one starts too."""
    os.environ.setdefault(CALLS, str(folder / "model_calls"))


def model_calls() -> int:
    """Count how often a model ran in this process."""
    path = Path(os.environ[CALLS])
    return path.read_text(encoding="utf-8").split().count(str(os.getpid())) if path.exists() else 0


def _write_profile(folder: Path) -> None:
    """Write the local profile without its line for jobs of a minute: what runs long is compiled in full."""
    folder.mkdir(exist_ok=True)
    lines = (packaged_spark_conf() / "local.conf").read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if "defaultJavaOptions" not in line)
    (folder / "bench.conf").write_text(text, encoding="utf-8")


def open_project(folder: Path, name: str, redis_url: str, objects: Sequence[object]) -> FeatureStore:
    """Open a project in ``folder`` and apply the definitions."""
    _count_model_calls(folder)
    shutil.copytree(_MODELS, folder / "bench_models", dirs_exist_ok=True)
    _write_profile(folder / "spark_conf")
    config = {
        "project": name,
        "definitions": "bench_models",
        "spark": {"profile": "bench"},
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
