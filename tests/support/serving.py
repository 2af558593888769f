"""A small project in an in-memory online store, for lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_schema
from featurestore.codec.digest import inputs_digest
from featurestore.codec.keys import KeyCodec, pointer_key
from featurestore.codec.pointer import Pointer, ViewPointer
from featurestore.codec.restated import restate
from featurestore.codec.value import RowCodec
from featurestore.intervals import to_micros
from featurestore.ir.columns import stored_features
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    AggregationNode,
    Aggregations,
    CodeRef,
    FeatureRef,
    FieldNode,
    OnDemandViewNode,
    PredictionViewNode,
    StoredViewNode,
    ViewNode,
)
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Array, Bool, Float64, Int64, String, Timestamp
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.nodes import aggregate_view, manifest_of, plain_view, prediction_view

__all__ = [
    "NOW",
    "Clock",
    "World",
    "field",
    "flags",
    "recency",
    "ref",
    "scores",
    "user_data",
]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "shop"


def field(name: str, dtype: Any = Float64) -> FieldNode:
    return FieldNode(name=name, dtype=dtype)


def ref(view: str, feature: str, **overrides: Any) -> FeatureRef:
    return FeatureRef(**({"view": view, "feature": feature, "alias": view} | overrides))


def user_data(**overrides: Any) -> ViewNode:
    """Hold a seven-day aggregate of clicks by user."""
    mean, count = (
        AggregationNode(name=name, function=function, column="clicked", window=timedelta(days=7), dtype=dtype)
        for name, function, dtype in (
            ("click_through_rate", AggregationFunction.MEAN, Float64),
            ("number_of_clicks", AggregationFunction.COUNT, Int64),
        )
    )
    values: dict[str, Any] = {
        "name": "user_data",
        "transformation": Aggregations(items=(mean, count)),
        "features": (field("click_through_rate"), field("number_of_clicks", Int64)),
        "version": 1,
        "storage_id": 1,
    }
    return aggregate_view(**(values | overrides))


def flags(**overrides: Any) -> ViewNode:
    """Hold one feature of each kind by user, without aggregation."""
    values: dict[str, Any] = {
        "name": "flags",
        "features": (
            field("ratio"),
            field("visits", Int64),
            field("is_vip", Bool),
            field("city", String),
            field("tags", Array(String)),
            field("last_seen", Timestamp),
        ),
        "ttl": timedelta(days=1),
        "version": 1,
        "storage_id": 2,
    }
    return plain_view(**(values | overrides))


def recency(**overrides: Any) -> OnDemandViewNode:
    values: dict[str, Any] = {
        "name": "recency",
        "inputs": (ref("flags", "last_seen"), ref("flags", "visits")),
        "request": (field("now", Timestamp),),
        "features": (field("seconds_since"), field("visits_doubled", Int64)),
        "code": CodeRef(path="tests.support.serving_functions:recency_numpy", digest=""),
        "mode": "numpy",
    }
    return OnDemandViewNode(**(values | overrides))


def scores(**overrides: Any) -> PredictionViewNode:
    values: dict[str, Any] = {
        "name": "model_predictions",
        "inputs": (ref("user_data", "click_through_rate"), ref("user_data", "number_of_clicks")),
        "max_age": timedelta(hours=30),
        "version": 1,
        "storage_id": 3,
        "attach_to": "user_data",
    }
    node = prediction_view(**(values | overrides))
    return replace(
        node, model=replace(node.model, load=CodeRef(path="tests.support.serving_functions:load", digest=""))
    )


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class World:
    """Views, their stored rows and a client; every view is published and covered until NOW unless told otherwise."""

    def __init__(
        self,
        *views: StoredViewNode,
        older: tuple[StoredViewNode, ...] = (),
        store: CountingStore | None = None,
        **manifest: Any,
    ) -> None:
        self.manifest: Manifest = manifest_of(*views, project=PROJECT, **manifest)
        self.clock = Clock()
        self.store = store or CountingStore(MemoryOnlineStore(clock=self.clock))
        self.pointer = Pointer(
            project=PROJECT,
            project_id=1,
            generation=1,
            views={
                view.name: ViewPointer(
                    version=view.version, storage_id=view.storage_id, covered_until_us=to_micros(NOW)
                )
                for view in views
            },
        )
        self.store.put_record(pointer_key(PROJECT), self.pointer.to_bytes())
        self.rows: list[tuple[bytes, bytes]] = []
        self.client = OnlineClient(
            self.store, PROJECT, manifests=FixedManifests(self.manifest, older), clock=self.clock
        )

    def point(self, view: str, **changes: Any) -> None:
        """Change a view's entry of the pointer record; None as ``version`` takes it out."""
        entry = None if changes.get("version", 1) is None else replace(self.pointer.views[view], **changes)
        self.pointer = self.pointer.with_view(view, entry)
        self.store.put_record(pointer_key(PROJECT), self.pointer.to_bytes())

    def put(
        self,
        view: StoredViewNode,
        user_id: int,
        values: Mapping[str, Any],
        *,
        event: datetime = NOW,
        created: datetime | None = None,
        holds: bool | None = None,
        deleted: bool = False,
        stands_under: datetime | None = None,
    ) -> None:
        """Store one row; an aggregate's holds unless told otherwise. It may stand under a later stamp than its own."""
        fields = stored_features(view)
        is_aggregate = isinstance(view, ViewNode) and view.is_aggregate
        table = pa.table({f.name: [values.get(f.name)] for f in fields}, schema=arrow_schema(fields))
        blobs = RowCodec(fields).encode(
            table,
            event_us=np.array([to_micros(event)]),
            created_us=np.array([to_micros(created or event)]),
            holds=np.array([is_aggregate if holds is None else holds]),
            deleted=np.array([deleted]),
        )
        codec = KeyCodec(project_id=1, storage_id=view.storage_id, fields=view.join_keys)
        [key] = codec.encode({view.join_keys[0].name: [user_id]})
        assert key is not None
        blob = blobs[0] if stands_under is None else restate(blobs[0], to_micros(stands_under), to_micros(stands_under))
        self.rows.append((key, blob))
        self.store.write_if_newer(self.rows[-1:])

    def predict(
        self,
        view: PredictionViewNode,
        user_id: int,
        score: float,
        *,
        predicted_at: datetime = NOW,
        inputs_at: datetime = NOW,
    ) -> None:
        """Store a prediction made from the input row that has ``inputs_at`` as event and created time."""
        micros = np.array([to_micros(inputs_at)])
        digest = inputs_digest([(np.array([True]), micros, micros)])
        values = {"score": score, "inputs_digest": int(digest[0]), "inputs_timestamp": inputs_at}
        self.put(view, user_id, values, event=inputs_at, created=predicted_at)
