"""Small definitions, compiled by the real compiler; keywords override the definition's options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from featurestore import Aggregation, BatchFeatureView, Entity, Field, FileSource
from featurestore.compile import CompileResult, compile_definitions, load_objects
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode
from featurestore.types import Float64, Int64, String, Timestamp

__all__ = [
    "START",
    "aggregate_definition",
    "clicks_source",
    "compile_objects",
    "make_manifest",
    "no_schema",
    "user_entity",
    "view_definition",
]

START = datetime(2026, 1, 1, tzinfo=UTC)
REPO = Path(__file__).resolve().parents[2]


def user_entity(**overrides: Any) -> Entity:
    return Entity(**({"name": "user", "join_keys": ["user_id"], "dtypes": [Int64]} | overrides))


def clicks_source(**overrides: Any) -> FileSource:
    options: dict[str, Any] = {
        "name": "clicks",
        "path": "data/clicks.parquet",
        "timestamp_field": "event_timestamp",
        "schema": [
            Field(name="user_id", dtype=Int64),
            Field(name="event_timestamp", dtype=Timestamp),
            Field(name="clicked", dtype=Int64),
            Field(name="page_seconds", dtype=Float64),
            Field(name="page", dtype=String),
        ],
    }
    return FileSource(**(options | overrides))


def view_definition(**overrides: Any) -> BatchFeatureView:
    """Define a plain view of the clicks."""
    options: dict[str, Any] = {
        "name": "pages",
        "entities": [user_entity()],
        "source": clicks_source(),
        "schema": [Field(name="page", dtype=String), Field(name="page_seconds", dtype=Float64)],
        "start": START,
        "schedule": "@daily",
    }
    return BatchFeatureView(**(options | overrides))


def aggregate_definition(**overrides: Any) -> BatchFeatureView:
    """Define sums and means over the clicks."""
    options: dict[str, Any] = {
        "name": "user_data",
        "schema": (),
        "aggregations": [
            Aggregation(column="clicked", function="sum", window=timedelta(days=7), name="number_of_clicks"),
            Aggregation(column="page_seconds", function="mean", window=timedelta(days=1)),
        ],
    }
    return view_definition(**(options | overrides))


def compile_objects(*objects: Any, project: str = "test", repo: Path = REPO) -> CompileResult:
    """Compile definitions that declare their sources' columns."""
    return compile_definitions(load_objects(objects), project=project, repo=repo, schema_of=no_schema)


def make_manifest(*objects: Any, project: str = "test", repo: Path = REPO) -> Manifest:
    """Compile the given definitions, or one plain and one aggregate view."""
    return compile_objects(
        *(objects or (view_definition(), aggregate_definition())), project=project, repo=repo
    ).manifest


def no_schema(source: FileSourceNode | DeltaSourceNode) -> tuple[FieldNode, ...]:
    """Stand for reading a stored schema where every source declares its own."""
    raise FileNotFoundError(f"nothing is stored for source {source.name!r}")
