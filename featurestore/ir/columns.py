"""The names of a view table's own columns, and where the table lies."""

from __future__ import annotations

from featurestore.ir.nodes import FieldNode, OnDemandViewNode, OnlineViewNode, PredictionViewNode, StoredViewNode
from featurestore.spec.dtypes import Int64, Timestamp

__all__ = [
    "COMPUTED_AT",
    "CREATED_TIMESTAMP",
    "EVENT_TIMESTAMP",
    "INPUTS_DIGEST",
    "INPUTS_TIMESTAMP",
    "IS_DELETED",
    "RESERVED",
    "STAMP_CREATED",
    "STAMP_EVENT",
    "key_fields",
    "landing_location",
    "stored_features",
    "table_location",
]

EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"
IS_DELETED = "is_deleted"
COMPUTED_AT = "computed_at"
INPUTS_DIGEST = "inputs_digest"
"""Prediction views: 8 bytes over the headers of the input rows, as int64. Written on-demand views: over the input rows
themselves; null says that the row is a statement of its own (``ondemand.written``)."""
INPUTS_TIMESTAMP = "inputs_timestamp"
"""Prediction views: the greatest event time of the input rows; the online stamp's first part."""

STAMP_EVENT = "stamp_event"
STAMP_CREATED = "stamp_created"
"""Of rows on their way to the online store: the stamp that a row stands under instead of its own, null for its own."""

RESERVED = frozenset({EVENT_TIMESTAMP, CREATED_TIMESTAMP, IS_DELETED, COMPUTED_AT, INPUTS_DIGEST, INPUTS_TIMESTAMP})


def stored_features(view: OnlineViewNode) -> tuple[FieldNode, ...]:
    """The value columns of a view's table and online rows: its features, and what they were made from.

    That is a prediction's provenance, and of an on-demand view the request's values and the digest of the inputs.
    """
    if isinstance(view, OnDemandViewNode):
        return (*view.features, *view.request, FieldNode(name=INPUTS_DIGEST, dtype=Int64))
    if isinstance(view, PredictionViewNode):
        return (
            *view.features,
            FieldNode(name=INPUTS_DIGEST, dtype=Int64),
            FieldNode(name=INPUTS_TIMESTAMP, dtype=Timestamp),
        )
    return view.features


def key_fields(view: OnlineViewNode) -> tuple[FieldNode, ...]:
    """The parts of a view's online key: join keys, and for a prediction the request fields that it depends on."""
    return view.join_keys + (view.request if isinstance(view, PredictionViewNode) else ())


def landing_location(view: StoredViewNode) -> str:
    """Where rows for the view's table lie until a step appends them, under the offline store's root."""
    return f"_landing/{view.name}/v{view.version}-{view.fingerprint[:8]}"


def table_location(view: StoredViewNode) -> str:
    """The table's path under the offline store's root: one for each definition, never shared by two."""
    return f"views/{view.name}/v{view.version}-{view.fingerprint[:8]}"
