"""The log of served predictions: its columns, where its files land, and where its Delta tables lie.

The lookup writes it (``serving.served_log``), a job appends it to Delta (``runtime.served``), reports read it.
"""

from __future__ import annotations

from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import FieldNode, PredictionViewNode
from featurestore.spec.dtypes import Bool, Int32, Int64, String, Timestamp

__all__ = [
    "IS_SHADOW",
    "LANDING",
    "MODEL_NAME",
    "MODEL_VERSION",
    "PREDICTED_AT",
    "SERVED",
    "SERVED_AT",
    "SERVED_COLUMNS",
    "SERVED_REQUEST",
    "SERVED_ROW",
    "SERVED_STATUS",
    "served_fields",
    "served_landing",
    "served_location",
]

SERVED_AT = "served_at"
"""When the lookup answered, by the client's clock."""
SERVED_REQUEST = "served_request"
"""Equal for the rows of one call, those of its shadow models included; no two calls share one."""
SERVED_ROW = "served_row"
"""The row's place in its request, from 0."""
SERVED_STATUS = "served_status"
"""CACHED, LIVE, STALE, MISSING or FAILED; LIVE or FAILED for a shadow model's rows."""
MODEL_NAME = "model_name"
MODEL_VERSION = "model_version"
PREDICTED_AT = "predicted_at"
IS_SHADOW = "is_shadow"
"""Whether the row is a shadow model's: computed beside the answer, given to nobody."""

_COLUMNS = (
    FieldNode(name=SERVED_AT, dtype=Timestamp),
    FieldNode(name=SERVED_REQUEST, dtype=String),
    FieldNode(name=SERVED_ROW, dtype=Int32),
    FieldNode(name=SERVED_STATUS, dtype=String),
    FieldNode(name=MODEL_NAME, dtype=String),
    FieldNode(name=MODEL_VERSION, dtype=String),
    FieldNode(name=PREDICTED_AT, dtype=Timestamp),
    FieldNode(name=INPUTS_TIMESTAMP, dtype=Timestamp),
    FieldNode(name=INPUTS_DIGEST, dtype=Int64),
    FieldNode(name=IS_SHADOW, dtype=Bool),
)
SERVED_COLUMNS = tuple(field.name for field in _COLUMNS)
"""The log's own columns. Null where no prediction was given out: outputs, model version, the three of its making."""

SERVED = "served"
"""Under the offline store's root: the tables, in one folder for each prediction view."""
LANDING = "landing/served"
"""Under the offline store's root: the Parquet files that lookups left and no job has appended yet."""


def served_fields(view: PredictionViewNode) -> tuple[FieldNode, ...]:
    """Give the columns of a view version's log: join keys, request fields and outputs, then the log's own."""
    return (*view.join_keys, *view.request, *view.features, *_COLUMNS)


def served_location(view: PredictionViewNode) -> str:
    """Give the path of a view version's table of served predictions, under the offline store's root.

    Each version has its own, as outputs may differ; a read of the view's log takes all of them together.
    """
    return f"{SERVED}/{view.name}/{_version(view)}"


def served_landing(view: PredictionViewNode) -> str:
    """Give the folder of a view version's landed files, under the offline store's root."""
    return f"{LANDING}/{view.name}/{_version(view)}"


def _version(view: PredictionViewNode) -> str:
    return f"v{view.version}-{view.fingerprint[:8]}"
