"""Compiled nodes with every field filled in; keywords override."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    CodeRef,
    DeltaSourceNode,
    EntityNode,
    FeatureRef,
    FieldNode,
    ModelNode,
    Passthrough,
    PredictionViewNode,
    SourceInput,
    StoredViewNode,
    ViewInputNode,
    ViewNode,
)
from featurestore.ir.schedule import parse_schedule
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Float64, Int64, Timestamp

__all__ = ["START", "aggregate_view", "clicks", "manifest_of", "plain_view", "prediction_view", "reads"]

START = datetime(2026, 1, 1, tzinfo=UTC)
_KEYS = (FieldNode(name="user_id", dtype=Int64),)


def clicks(**overrides: Any) -> DeltaSourceNode:
    values: dict[str, Any] = {
        "name": "clicks",
        "path": "data/clicks",
        "timestamp_field": "ts",
        "schema": (
            FieldNode(name="user_id", dtype=Int64),
            FieldNode(name="clicked", dtype=Int64),
            FieldNode(name="ts", dtype=Timestamp),
        ),
    }
    return DeltaSourceNode(**(values | overrides))


def plain_view(**overrides: Any) -> ViewNode:
    values: dict[str, Any] = {
        "name": "plain",
        "join_keys": _KEYS,
        "entities": ("user",),
        "inputs": (SourceInput(source="clicks"),),
        "transformation": Passthrough(),
        "features": (FieldNode(name="clicked", dtype=Int64),),
        "start": START,
        "schedule": parse_schedule("@daily"),
        "ttl": None,
        "online": True,
        "late_data": timedelta(0),
        "data_delay": timedelta(0),
        "on_expired": "null",
        "freshness": None,
        "fingerprint": "plain",
    }
    return ViewNode(**(values | overrides))


def aggregate_view(**overrides: Any) -> ViewNode:
    total = AggregationNode(
        name="total", function=AggregationFunction.SUM, column="clicked", window=timedelta(days=7), dtype=Int64
    )
    values: dict[str, Any] = {
        "name": "stats",
        "transformation": Aggregations(items=(total,)),
        "features": (FieldNode(name="total", dtype=Int64),),
        "fingerprint": "aggregate",
    }
    return plain_view(**(values | overrides))


def prediction_view(**overrides: Any) -> PredictionViewNode:
    values: dict[str, Any] = {
        "name": "score",
        "join_keys": _KEYS,
        "entities": ("user",),
        "inputs": (FeatureRef(view="stats", feature="total", alias="stats"),),
        "request": (),
        "model": ModelNode(name="m", version="1", load=CodeRef(path="models:load", digest="d")),
        "features": (FieldNode(name="score", dtype=Float64),),
        "start": START,
        "schedule": parse_schedule("@daily"),
        "max_age": None,
        "on_stale": "infer",
        "on_failure": "serve_stale",
        "refresh": ("on_schedule",),
        "stale_on": ("age", "inputs", "version"),
        "input_grace": timedelta(minutes=15),
        "require_features": True,
        "attach_to": None,
        "data_delay": timedelta(0),
        "fingerprint": "prediction",
    }
    return PredictionViewNode(**(values | overrides))


def reads(view: str, *features: str) -> ViewInputNode:
    return ViewInputNode(view=view, features=features or ("clicked",), alias=view)


def manifest_of(*views: StoredViewNode, project: str = "shop", **overrides: Any) -> Manifest:
    values: dict[str, Any] = {
        "entities": {"user": EntityNode(name="user", keys=_KEYS)},
        "sources": {"clicks": clicks()},
        "views": {view.name: view for view in views if isinstance(view, ViewNode)},
        "prediction_views": {view.name: view for view in views if isinstance(view, PredictionViewNode)},
    }
    return Manifest(project=project, **(values | overrides))
