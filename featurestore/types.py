"""The value types that definitions name: ``from featurestore.types import Float64``."""

from __future__ import annotations

from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Timestamp,
)

__all__ = [
    "Array",
    "Bool",
    "Bytes",
    "Date",
    "Decimal",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "Json",
    "Map",
    "String",
    "Timestamp",
]
