"""The Arrow type of each dtype, and safe casts of incoming columns to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
import pyarrow as pa

from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Array, Decimal, DType, Map, Scalar, show_dtype

__all__ = ["arrow_schema", "arrow_type", "as_arrow", "conform"]

_SCALARS: dict[str, pa.DataType] = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "json": pa.string(),
    "bytes": pa.binary(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


def arrow_type(dtype: DType) -> pa.DataType:
    """Give the Arrow type that holds every value of ``dtype`` exactly."""
    match dtype:
        case Scalar(name=name):
            return _SCALARS[name]
        case Decimal(precision=precision, scale=scale):
            return pa.decimal128(precision, scale)
        case Array(element=element):
            return pa.list_(arrow_type(element))
        case Map(key=key, value=value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case _:
            assert_never(dtype)


def arrow_schema(fields: Sequence[FieldNode]) -> pa.Schema:
    return pa.schema([pa.field(field.name, arrow_type(field.dtype)) for field in fields])


def as_arrow(values: np.ndarray, valid: np.ndarray | None, dtype: DType) -> pa.Array[Any]:
    """Give decoded values as an array of the dtype's Arrow type, null where not valid; numbers as a whole."""
    target = arrow_type(dtype)
    if values.dtype != object:
        return pa.array(values, target, mask=None if valid is None else ~valid)
    kept = values.tolist()
    if valid is not None:
        kept = [value if ok else None for value, ok in zip(kept, valid.tolist(), strict=True)]
    return pa.array([_builder_value(value, dtype) for value in kept], target)


def conform(table: pa.Table | pa.RecordBatch, fields: Sequence[FieldNode]) -> list[pa.Array[Any]]:
    """Give one contiguous array of the exact type for each field, in order; SchemaMismatch has all problems.

    Casts that lose nothing are made (int32 to int64, nanoseconds that are whole microseconds); others are refused.
    """
    arrays: list[pa.Array[Any]] = []
    problems: list[Problem] = []
    for field in fields:
        target = arrow_type(field.dtype)
        if field.name not in table.schema.names:
            found = ", ".join(table.schema.names) or "none"
            message = f"the column is missing; found {found}; it must be there as {show_dtype(field.dtype)}"
            problems.append(Problem(location="row values", object=field.name, message=message))
            continue
        column = table.column(field.name)
        try:
            arrays.append(_as_type(column, target))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            message = f"found {column.type}, valid is {show_dtype(field.dtype)} without loss: {error}"
            problems.append(Problem(location="row values", object=field.name, message=message))
    if problems:
        raise SchemaMismatch(problems)
    return arrays


def _builder_value(value: Any, dtype: DType) -> Any:
    """Write maps as pairs, as Arrow's builder takes them."""
    match dtype:
        case Map(value=inner) if value is not None:
            return [(key, _builder_value(item, inner)) for key, item in value.items()]
        case Array(element=inner) if value is not None:
            return [_builder_value(item, inner) for item in value]
        case _:
            return value


def _as_type(column: pa.Array[Any] | pa.ChunkedArray[Any], target: pa.DataType) -> pa.Array[Any]:
    if isinstance(column, pa.ChunkedArray):
        chunks = column.cast(target).chunks
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks or [pa.array([], target)])
    return column.cast(target)
