"""A small project of views that producers write to, applied on a real Redis; no Spark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import (
    BatchFeatureView,
    Entity,
    FeatureStore,
    Field,
    FileSource,
    Model,
    PredictionView,
    PushSource,
)
from featurestore.intervals import Coverage, Interval
from featurestore.runtime.pointer import point_to
from featurestore.types import Float64, Int64, String

__all__ = ["DAY", "START", "make_definitions", "open_pushed", "publish_as_done"]

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def make_definitions(root: Path, *, extra: bool = False, model: str = "1") -> list[object]:
    """Define a view with history, one that is only pushed, and a prediction; ``extra`` gives the first one more."""
    path = root / "accounts.parquet"
    if not path.exists():
        columns = {"user_id": [1], "at": [START], "plan": ["free"], "seats": [1]}
        pq.write_table(pa.table(columns), path)
    (root / "churn_model.py").write_text('"""A model."""\n\n\ndef load():\n    return None\n', encoding="utf-8")
    user = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])
    history = FileSource(name="accounts", path=str(path), timestamp_field="at")
    updates = PushSource(name="updates", batch_source=history)
    session = PushSource(
        name="sessions",
        schema=[Field(name="user_id", dtype=Int64), Field(name="page", dtype=String), Field(name="depth", dtype=Int64)],
    )
    fields = [Field(name="plan", dtype=String), *([Field(name="seats", dtype=Int64)] if extra else [])]
    account = BatchFeatureView(
        name="account", entities=[user], source=updates, schema=fields, start=START, schedule="@daily", ttl=30 * DAY
    )
    now = BatchFeatureView(
        name="session", entities=[user], source=session, schema=[Field(name="page", dtype=String)], ttl=DAY
    )
    score = PredictionView(
        name="churn",
        entities=[user],
        features=account[["plan"]],
        model=Model(name="churn", version=model, load="churn_model:load"),
        outputs=[Field(name="score", dtype=Float64)],
        attach_to=account,
        on_stale="serve_stale",
        max_age=DAY,
    )
    return [user, account, now, score]


def open_pushed(
    root: Path, url: str, *, project: str = "shop", clock: Callable[[], datetime] | None = None
) -> FeatureStore:
    """Open a store on a Redis that runs already; its registry and offline store lie in ``root``."""
    config: dict[str, Any] = {
        "project": project,
        "registry": f"sqlite:///{root}/{project}.db",
        "offline_store": {"path": str(root / f"{project}_offline")},
        "online_store": {"connection_string": url},
    }
    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    return FeatureStore(root, config=config, **options)


def publish_as_done(store: FeatureStore, view: str, until: datetime) -> None:
    """Point readers at the applied version of a view as the end of its publication does."""
    point_to(store.runtime, store.manifest.stored_view(view), Coverage.of([Interval(START, until)]))
