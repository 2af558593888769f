"""Arrow columns as the (values, valid) pairs that user functions and models work on, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_type
from featurestore.ondemand.arrays import Column, numpy_dtype, python_values
from featurestore.spec.dtypes import DType, Map

__all__ = ["column_of", "column_to_arrow"]

_NUMBERS = {"i", "f", "b"}


def column_of(array: pa.Array[Any], dtype: DType) -> Column:
    """Read an Arrow array of ``dtype``; values under a null are zero, or None for Python objects."""
    target = numpy_dtype(dtype)
    valid = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    if target.kind == "O":
        items: list[Any] = array.to_pylist()
        if isinstance(dtype, Map):
            items = [None if item is None else dict(item) for item in items]
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return values, valid
    array = array.cast(arrow_type(dtype))
    if target.kind == "M":
        array = array.cast(pa.int64() if dtype.name == "timestamp" else pa.int32()).cast(pa.int64())
    if valid is not None:
        array = array.fill_null(False if target.kind == "b" else 0)
    plain = array.to_numpy(zero_copy_only=False)
    return (plain.view(target) if target.kind == "M" else plain.astype(target, copy=False)), valid


def column_to_arrow(column: Column, dtype: DType) -> pa.Array[Any]:
    """Write a column as an Arrow array; a NaN stays a NaN."""
    values, valid = column
    target = arrow_type(dtype)
    if values.dtype.kind not in _NUMBERS:
        return pa.array(python_values(column), target)
    return pa.array(values, target, mask=None if valid is None else ~valid)
