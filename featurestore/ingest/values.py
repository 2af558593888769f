"""Columns of a write as arrays of their exact type; values that do not fit are told by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_type
from featurestore.codec.keys import KeyCodec
from featurestore.codec.value import DecodedColumn
from featurestore.errors import EntityKeyMissing
from featurestore.ingest.checks import Checks
from featurestore.ingest.frames import RawColumn
from featurestore.ir.nodes import FieldNode
from featurestore.ondemand.arrays import ValueMismatch, read_column
from featurestore.spec.dtypes import Bool, Decimal, DType, Float32, Float64, Int32, Int64, Json, show_dtype

__all__ = ["check_keys", "typed_column"]

_ROW_ERRORS = (ValueMismatch, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError)
_ANY_ERRORS = (*_ROW_ERRORS, UnicodeEncodeError, ValueError)


def typed_column(field: FieldNode, column: RawColumn, checks: Checks) -> pa.Array[Any]:
    """Give the column in the field's type: changes of type that lose nothing are made, others are problems of rows.

    A row with a problem is null in the result.
    """
    array = _at_once(field, column)
    if array is None:
        array = _row_by_row(field, column, checks)
    if field.dtype == Json:
        _check_json(field.name, array, checks)
    return array


def check_keys(codec: KeyCodec, columns: dict[str, RawColumn], checks: Checks) -> list[bytes | None]:
    """Give the key of each row, None where it is null or invalid: both are problems of the row."""
    keys = codec.encode(columns, on_invalid="null")
    for row in (row for row, key in enumerate(keys) if key is None):
        part = {name: column[row : row + 1] for name, column in columns.items()}
        names = ", ".join(columns)
        try:
            codec.encode(part)
        except EntityKeyMissing as error:
            message = str(error).partition("join key ")[2] or str(error)
            checks.add(names, "invalid key", [row], message)
        else:
            checks.add(names, "null key", [row], "a join key is null; a row without its key cannot be stored")
    return keys


def _at_once(field: FieldNode, column: RawColumn) -> pa.Array[Any] | None:
    """Convert the whole column; None where a value does not fit, or must be looked at by itself."""
    target = arrow_type(field.dtype)
    try:
        if isinstance(column, pa.Array):
            return column.cast(target) if _is_kin(column.type, field.dtype, target) else None
        return _as_arrow(field.dtype, column, len(column))
    except _ANY_ERRORS:
        return None


def _row_by_row(field: FieldNode, column: RawColumn, checks: Checks) -> pa.Array[Any]:
    items = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    parts: list[pa.Array[Any]] = []
    for row, item in enumerate(items):
        try:
            parts.append(_as_arrow(field.dtype, [item], 1))
        except _ANY_ERRORS:
            shown = repr(item) if len(repr(item)) <= 80 else repr(item)[:77] + "..."
            message = f"found {shown} ({type(item).__name__}); valid is {show_dtype(field.dtype)} or null"
            checks.add(field.name, "value", [row], message)
            parts.append(pa.array([None], arrow_type(field.dtype)))
    return pa.concat_arrays(parts) if parts else pa.array([], arrow_type(field.dtype))


def _as_arrow(dtype: DType, column: Any, count: int) -> pa.Array[Any]:
    values, valid = read_column(dtype, column, count=count)
    present = np.ones(len(values), np.bool_) if valid is None else valid
    if isinstance(dtype, Decimal):
        items = [value if ok else None for value, ok in zip(values.tolist(), present.tolist(), strict=True)]
        return pa.array(items, arrow_type(dtype))
    return DecodedColumn(dtype=dtype, values=values, valid=present).to_arrow()


def _is_kin(found: pa.DataType, dtype: DType, target: pa.DataType) -> bool:
    """Say whether Arrow's cast keeps the meaning: it also turns numbers into text and truth into numbers."""
    if found == target or pa.types.is_null(found):
        return True
    if dtype in (Int32, Int64):
        return pa.types.is_integer(found) or pa.types.is_floating(found)
    if dtype in (Float32, Float64):
        return pa.types.is_floating(found) or pa.types.is_integer(found) or pa.types.is_decimal(found)
    if isinstance(dtype, Decimal):
        return pa.types.is_integer(found) or pa.types.is_decimal(found)
    if dtype == Bool:
        return False
    if pa.types.is_timestamp(target):
        return pa.types.is_timestamp(found)
    if pa.types.is_string(target):
        return pa.types.is_large_string(found) or (
            pa.types.is_dictionary(found) and pa.types.is_string(found.value_type)
        )
    if pa.types.is_binary(target):
        return pa.types.is_large_binary(found) or pa.types.is_fixed_size_binary(found)
    return pa.types.is_nested(target) and found.id in (target.id, pa.lib.Type_LARGE_LIST)


def _check_json(name: str, array: pa.Array[Any], checks: Checks) -> None:
    for row, text in _not_null(array.to_pylist()):
        try:
            json.loads(text)
        except ValueError as error:
            checks.add(name, "json", [row], f"found {text[:80]!r}, which is no JSON text: {error}")


def _not_null(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    return ((row, item) for row, item in enumerate(items) if item is not None)
