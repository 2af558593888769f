"""The files of a new project."""

from __future__ import annotations

__all__ = ["FILES"]

FILES = {
    "feature_store.yaml": """project: {project}
definitions: definitions
registry: sqlite:///.featurestore/registry.db
offline_store: {type: delta, path: .featurestore/offline}
online_store: {type: redis}
spark: {profile: local}
""",
    "definitions/__init__.py": "",
    "definitions/features.py": '''"""Features of users, from their clicks."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, Entity, Field, FileSource
from featurestore.types import Float64, Int64, Timestamp

user = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])

clicks = FileSource(
    name="clicks",
    path="data/clicks.parquet",
    timestamp_field="event_timestamp",
    schema=[
        Field(name="user_id", dtype=Int64),
        Field(name="clicked", dtype=Int64),
        Field(name="page_seconds", dtype=Float64),
        Field(name="event_timestamp", dtype=Timestamp),
    ],
)

user_data = BatchFeatureView(
    name="user_data",
    entities=[user],
    source=clicks,
    aggregations=[
        Aggregation(column="clicked", function="sum", window=timedelta(days=7), name="number_of_clicks"),
        Aggregation(column="clicked", function="mean", window=timedelta(days=7), name="click_through_rate"),
    ],
    start=datetime(2026, 1, 1, tzinfo=timezone.utc),
    schedule="@daily",
    ttl=timedelta(days=30),
)
''',
    "dags/featurestore_dags.py": '''"""The project's DAGs, generated from the applied definitions."""

from pathlib import Path

from featurestore.orchestration.airflow import load_dags

globals().update(load_dags(Path(__file__).resolve().parents[1]))
''',
    ".gitignore": ".featurestore/\n__pycache__/\n",
}
