"""Columns as (values, valid) pairs, and the arrays that user functions and models see.

``values`` is a NumPy array of the type's own dtype (see ``numpy_dtype``); ``valid`` is a boolean array of the same
length, or None where nothing is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal as PyDecimal
from decimal import InvalidOperation
from typing import Any, TypeAlias

import numpy as np

from featurestore.intervals import from_micros, parse_instant, to_micros
from featurestore.spec.dtypes import Array, Decimal, DType, Map, show_dtype

__all__ = ["Column", "ValueMismatch", "function_input", "numpy_dtype", "python_values", "read_column", "take_column"]

Column: TypeAlias = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any] | None"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "int32": np.dtype("int32"),
    "int64": np.dtype("int64"),
    "float32": np.dtype("float32"),
    "float64": np.dtype("float64"),
    "bool": np.dtype("bool"),
    "timestamp": np.dtype("datetime64[us]"),
    "date": np.dtype("datetime64[D]"),
}
_OBJECT = np.dtype(object)


class ValueMismatch(ValueError):
    """A value is not of the column's type; the caller names the column's owner."""


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Give the NumPy dtype of a column's values; strings, bytes and nested values are Python objects."""
    return _DTYPES.get(dtype.name, _OBJECT)


def function_input(column: Column) -> np.ndarray[Any, Any]:
    """Give the array that user functions and models get: nulls are NaN in float64, masked for other types."""
    values, valid = column
    if valid is None or bool(valid.all()):
        return values
    if values.dtype.kind in "if":
        numbers = values.astype(np.float64)
        numbers[~valid] = np.nan
        return numbers
    if values.dtype.kind == "M":
        values = np.where(valid, values, np.datetime64("NaT"))
    return np.ma.MaskedArray(values, mask=~valid)


def take_column(column: Column, rows: np.ndarray[Any, Any]) -> Column:
    """Give the column of the named rows."""
    values, valid = column
    return values[rows], None if valid is None else valid[rows]


def python_values(column: Column) -> list[Any]:
    """Give Python values: None for null, aware datetimes for instants."""
    values, valid = column
    if values.dtype == _DTYPES["timestamp"]:
        micros = values.astype(np.int64).tolist()
        if valid is None:
            return [from_micros(instant) for instant in micros]
        return [from_micros(instant) if ok else None for instant, ok in zip(micros, valid.tolist(), strict=True)]
    items: list[Any] = values.tolist()
    if valid is not None:
        for row in np.flatnonzero(~valid).tolist():
            items[row] = None
    return items


def read_column(dtype: DType, found: Any, *, count: int | None = None) -> Column:
    """Read an array, masked array, series or sequence as a column of ``dtype``; only lossless changes of type.

    ``None``, NaT and masked values are null; so is NaN, except for float types. Raises ValueMismatch.
    """
    array, valid = _as_array(found)
    if array.ndim != 1:
        raise ValueMismatch(f"found an array of shape {array.shape}; valid is one value for each row")
    if count is not None and len(array) != count:
        raise ValueMismatch(f"found {len(array)} values; valid is one for each of the {count} rows")
    target = numpy_dtype(dtype)
    if array.dtype == target and target != _OBJECT:
        return array, _merge(valid, ~np.isnat(array)) if target.kind == "M" else valid
    if target.kind in "if" and array.dtype.kind in "iuf":
        return _numbers(dtype, target, array, valid)
    if target.kind == "M" and array.dtype.kind == "M":
        return array.astype(target), _merge(valid, ~np.isnat(array))
    return _objects(dtype, target, array.tolist(), valid)


def _as_array(found: Any) -> Column:
    if hasattr(found, "to_numpy") and not isinstance(found, np.ndarray):
        found = found.to_numpy()
    if isinstance(found, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(found)
        return np.asarray(found.data), ~mask if bool(mask.any()) else None
    if isinstance(found, np.ndarray):
        return found, None
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise ValueMismatch(f"found {type(found).__name__}; valid is an array or a list with one value for each row")
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array, None


def _merge(valid: np.ndarray[Any, Any] | None, more: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    if bool(more.all()):
        return valid
    return more if valid is None else valid & more


def _numbers(
    dtype: DType, target: np.dtype[Any], array: np.ndarray[Any, Any], valid: np.ndarray[Any, Any] | None
) -> Column:
    if target.kind == "f":
        return array.astype(target), valid
    if array.dtype.kind == "f":
        valid = _merge(valid, ~np.isnan(array))
    checked = array if valid is None else array[valid]
    if len(checked):
        limits = np.iinfo(target)
        outside = (checked < limits.min) | (checked > limits.max)
        if array.dtype.kind == "f":
            outside |= (checked != np.floor(checked)) | (checked >= -float(limits.min))
        if bool(outside.any()):
            raise ValueMismatch(f"found {checked[outside][0].item()!r}; valid is {show_dtype(dtype)}")
    if valid is not None:
        array = np.where(valid, array, 0)
    return array.astype(target), valid


def _objects(dtype: DType, target: np.dtype[Any], items: list[Any], valid: np.ndarray[Any, Any] | None) -> Column:
    read = _reader(dtype)
    values = np.empty(len(items), dtype=object)
    present = np.ones(len(items), dtype=bool) if valid is None else valid.copy()
    for row, item in enumerate(items):
        if not present[row] or item is None or (target.kind != "f" and _is_nan(item)):
            present[row] = False
            continue
        try:
            values[row] = read(item)
        except (TypeError, ValueError, OverflowError, InvalidOperation) as error:
            raise ValueMismatch(
                f"found {item!r} ({type(item).__name__}) in row {row}; valid is {show_dtype(dtype)} or null"
            ) from error
    mask = None if bool(present.all()) else present
    if target == _OBJECT:
        return values, mask
    zero = np.zeros((), dtype=np.int64).astype(target)[()]
    if mask is not None:
        values[~mask] = zero
    return values.astype(target), mask


def _is_nan(item: Any) -> bool:
    return isinstance(item, (float, np.floating)) and bool(np.isnan(item))


def _reader(dtype: DType) -> Callable[[Any], Any]:
    if isinstance(dtype, Array):
        element = _reader(dtype.element)
        return lambda item: [None if part is None else element(part) for part in _listed(item)]
    if isinstance(dtype, Map):
        key, value = _reader(dtype.key), _reader(dtype.value)
        return lambda item: {key(k): None if v is None else value(v) for k, v in dict(item).items()}
    if isinstance(dtype, Decimal):
        return _read_decimal
    return _SCALAR_READERS[dtype.name]


def _listed(item: Any) -> list[Any]:
    if isinstance(item, (str, bytes, dict)):
        raise TypeError(f"{type(item).__name__} is no list")
    return list(item.tolist() if isinstance(item, np.ndarray) else item)


def _read_int32(item: Any) -> int:
    number = _read_int64(item)
    if not -(2**31) <= number < 2**31:
        raise ValueError("beyond 32 bits")
    return number


def _read_int64(item: Any) -> int:
    if isinstance(item, (bool, np.bool_)):
        raise TypeError("a bool is no number")
    number = int(item)
    if (not isinstance(item, str) and number != item) or not -(2**63) <= number < 2**63:
        raise ValueError("not a whole number of 64 bits")
    return number


def _read_float(item: Any) -> float:
    if isinstance(item, (bool, np.bool_, bytes)):
        raise TypeError(f"{type(item).__name__} is no number")
    return float(item)


def _read_bool(item: Any) -> bool:
    if not isinstance(item, (bool, np.bool_)):
        raise TypeError("not a bool")
    return bool(item)


def _read_text(item: Any) -> str:
    if not isinstance(item, str):
        raise TypeError("not a str")
    return str(item)


def _read_bytes(item: Any) -> bytes:
    if not isinstance(item, (bytes, bytearray, memoryview)):
        raise TypeError("not bytes")
    return bytes(item)


def _read_instant(item: Any) -> Any:
    if isinstance(item, str):
        item = parse_instant(item)
    if isinstance(item, datetime):
        return np.datetime64(to_micros(item), "us")
    if isinstance(item, np.datetime64):
        return item.astype("datetime64[us]")
    raise TypeError("not a datetime")


def _read_date(item: Any) -> Any:
    if isinstance(item, str):
        item = date.fromisoformat(item)
    if isinstance(item, np.datetime64):
        return item.astype("datetime64[D]")
    if isinstance(item, datetime) or not isinstance(item, date):
        raise TypeError("not a date")
    return np.datetime64(item, "D")


def _read_decimal(item: Any) -> PyDecimal:
    if isinstance(item, (bool, float)):
        raise TypeError("a decimal is given as Decimal, int or str")
    return PyDecimal(item)


_SCALAR_READERS: dict[str, Callable[[Any], Any]] = {
    "int32": _read_int32,
    "int64": _read_int64,
    "float32": _read_float,
    "float64": _read_float,
    "bool": _read_bool,
    "string": _read_text,
    "json": _read_text,
    "bytes": _read_bytes,
    "timestamp": _read_instant,
    "date": _read_date,
}
