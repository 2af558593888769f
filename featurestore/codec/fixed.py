"""The fixed-width dtypes: their stored NumPy form, from Arrow and to Python values."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.intervals import EPOCH
from featurestore.spec.dtypes import Decimal, DType, Scalar

__all__ = ["FixedType", "fixed_type"]

_EPOCH_DAY = date(1970, 1, 1)
_LONG_DECIMAL = np.dtype([("low", "<u8"), ("high", "<i8")])
_SHORT_DECIMAL_DIGITS = 18
_EXACT = decimal.Context(prec=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedType:
    """``storage`` is the little-endian form at rest.

    ``to_numpy`` turns stored values into native ones (bool, numbers, datetime64[us], datetime64[D], Decimal objects) in
    an array of their own, ``to_list`` into Python's.
    """

    dtype: DType
    storage: np.dtype[Any]
    to_numpy: Callable[[np.ndarray], np.ndarray]
    to_list: Callable[[np.ndarray], list[Any]]

    @property
    def width(self) -> int:
        return self.storage.itemsize

    def pack(self, array: pa.Array[Any]) -> np.ndarray:
        """Give the stored form of an array of exactly the dtype's Arrow type: zero where null, one NaN for all NaNs."""
        if isinstance(self.dtype, Decimal):
            return self._pack_decimal(array)
        if pa.types.is_timestamp(array.type):
            array = array.view(pa.int64())
        elif pa.types.is_date32(array.type):
            array = array.view(pa.int32())
        if array.null_count:
            array = array.fill_null(pa.scalar(0, array.type) if not pa.types.is_boolean(array.type) else False)
        values = np.asarray(array.to_numpy(zero_copy_only=False)).astype(self.storage, copy=False)
        if values.dtype.kind == "f":
            nan = np.isnan(values)
            if nan.any():
                values = np.where(nan, values.dtype.type(np.nan), values)
        return values

    def _pack_decimal(self, array: pa.Array[Any]) -> np.ndarray:
        data = array.buffers()[1]
        if data is None:
            return np.zeros(len(array), self.storage)
        raw = np.frombuffer(memoryview(data), _LONG_DECIMAL)[array.offset : array.offset + len(array)]
        if array.null_count:
            raw = raw.copy()
            raw[~np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))] = 0
        return raw if self.storage == _LONG_DECIMAL else raw["low"].view(np.int64).astype(self.storage, copy=False)


@cache
def fixed_type(dtype: DType) -> FixedType | None:
    """Give the fixed-width form of ``dtype``, None where values vary in length."""
    match dtype:
        case Scalar(name="int32" | "int64" | "float32" | "float64" as name):
            storage = np.dtype(name).newbyteorder("<")
            return FixedType(dtype=dtype, storage=storage, to_numpy=_native(name), to_list=np.ndarray.tolist)
        case Scalar(name="bool"):
            return FixedType(dtype=dtype, storage=np.dtype("u1"), to_numpy=_native("bool"), to_list=_to_bools)
        case Scalar(name="timestamp"):
            return FixedType(dtype=dtype, storage=np.dtype("<i8"), to_numpy=_times("us"), to_list=_to_instants)
        case Scalar(name="date"):
            return FixedType(dtype=dtype, storage=np.dtype("<i4"), to_numpy=_times("D"), to_list=_to_dates)
        case Decimal(precision=precision, scale=scale):
            is_short = precision <= _SHORT_DECIMAL_DIGITS
            storage = np.dtype("<i8") if is_short else _LONG_DECIMAL
            to_list = _decimals(scale, is_short=is_short)
            return FixedType(dtype=dtype, storage=storage, to_numpy=_objects(to_list), to_list=to_list)
        case _:
            return None


def _native(name: str) -> Callable[[np.ndarray], np.ndarray]:
    native = np.dtype(name)
    return lambda stored: stored.astype(native)


def _times(unit: str) -> Callable[[np.ndarray], np.ndarray]:
    native = np.dtype(f"datetime64[{unit}]")
    return lambda stored: stored.astype(np.int64).view(native)


def _objects(to_list: Callable[[np.ndarray], list[Any]]) -> Callable[[np.ndarray], np.ndarray]:
    def to_numpy(stored: np.ndarray) -> np.ndarray:
        objects = np.empty(len(stored), object)
        objects[:] = to_list(stored)
        return objects

    return to_numpy


def _to_bools(stored: np.ndarray) -> list[Any]:
    flags: list[Any] = stored.astype(np.bool_).tolist()
    return flags


def _to_instants(stored: np.ndarray) -> list[Any]:
    return [EPOCH + timedelta(microseconds=micros) for micros in stored.tolist()]


def _to_dates(stored: np.ndarray) -> list[Any]:
    return [_EPOCH_DAY + timedelta(days=days) for days in stored.tolist()]


def _decimals(scale: int, *, is_short: bool) -> Callable[[np.ndarray], list[Any]]:
    def to_list(stored: np.ndarray) -> list[Any]:
        unscaled = stored.tolist() if is_short else [high * 2**64 + low for low, high in stored.tolist()]
        return [decimal.Decimal(number).scaleb(-scale, _EXACT) for number in unscaled]

    return to_list
