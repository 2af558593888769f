"""The log of served predictions in Arrow."""

from __future__ import annotations

import pyarrow as pa

from featurestore.codec.arrow import arrow_schema
from featurestore.ir.nodes import PredictionViewNode
from featurestore.ir.served import served_fields

__all__ = ["served_schema"]


def served_schema(view: PredictionViewNode) -> pa.Schema:
    """Give the columns of a view version's log (``ir.served``)."""
    return arrow_schema(served_fields(view))
