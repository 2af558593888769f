"""The fixed-width dtypes: their stored form, and from it to NumPy and Python values."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np

from featurestore.intervals import EPOCH
from featurestore.spec.dtypes import Decimal, DType, Scalar

__all__ = ["LONG_DECIMAL", "FixedType", "fixed_type"]

LONG_DECIMAL = np.dtype([("low", "<u8"), ("high", "<i8")])
_EPOCH_DAY = date(1970, 1, 1)
_SHORT_DECIMAL_DIGITS = 18
_EXACT = decimal.Context(prec=60)
_NUMBER_CODES = {"int32": "i", "int64": "q", "float32": "f", "float64": "d"}

ToPython = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedType:
    """``storage`` is the little-endian form at rest, ``code`` its letter in ``struct`` ("" where it has none).

    ``to_numpy`` turns stored values into native ones (bool, numbers, datetime64[us], datetime64[D], Decimal objects) in
    an array of their own; ``to_python`` turns what ``tolist`` gives of them into Python's, None where that is the same.
    """

    dtype: DType
    storage: np.dtype[Any]
    code: str
    to_numpy: Callable[[np.ndarray], np.ndarray]
    to_python: ToPython | None = None

    @property
    def width(self) -> int:
        return self.storage.itemsize

    def to_list(self, stored: np.ndarray) -> list[Any]:
        raw: list[Any] = stored.tolist()
        return raw if self.to_python is None else self.to_python(raw)


@cache
def fixed_type(dtype: DType) -> FixedType | None:
    """Give the fixed-width form of ``dtype``, None where values vary in length."""
    match dtype:
        case Scalar(name="int32" | "int64" | "float32" | "float64" as name):
            storage = np.dtype(name).newbyteorder("<")
            return FixedType(dtype=dtype, storage=storage, code=_NUMBER_CODES[name], to_numpy=_native(name))
        case Scalar(name="bool"):
            return FixedType(
                dtype=dtype, storage=np.dtype("u1"), code="B", to_numpy=_native("bool"), to_python=_to_bools
            )
        case Scalar(name="timestamp"):
            return FixedType(
                dtype=dtype, storage=np.dtype("<i8"), code="q", to_numpy=_times("us"), to_python=_to_instants
            )
        case Scalar(name="date"):
            return FixedType(dtype=dtype, storage=np.dtype("<i4"), code="i", to_numpy=_times("D"), to_python=_to_dates)
        case Decimal(precision=precision, scale=scale):
            is_short = precision <= _SHORT_DECIMAL_DIGITS
            to_python = _decimals(scale, is_short=is_short)
            return FixedType(
                dtype=dtype,
                storage=np.dtype("<i8") if is_short else LONG_DECIMAL,
                code="q" if is_short else "",
                to_numpy=_objects(to_python),
                to_python=to_python,
            )
        case _:
            return None


def _native(name: str) -> Callable[[np.ndarray], np.ndarray]:
    native = np.dtype(name)
    return lambda stored: stored.astype(native)


def _times(unit: str) -> Callable[[np.ndarray], np.ndarray]:
    native = np.dtype(f"datetime64[{unit}]")
    return lambda stored: stored.astype(np.int64).view(native)


def _objects(to_python: ToPython) -> Callable[[np.ndarray], np.ndarray]:
    def to_numpy(stored: np.ndarray) -> np.ndarray:
        objects = np.empty(len(stored), object)
        objects[:] = to_python(stored.tolist())
        return objects

    return to_numpy


def _to_bools(raw: list[Any]) -> list[Any]:
    return list(map(bool, raw))


def _to_instants(raw: list[Any]) -> list[Any]:
    return [EPOCH + timedelta(microseconds=micros) for micros in raw]


def _to_dates(raw: list[Any]) -> list[Any]:
    return [_EPOCH_DAY + timedelta(days=days) for days in raw]


def _decimals(scale: int, *, is_short: bool) -> ToPython:
    def to_python(raw: list[Any]) -> list[Any]:
        unscaled = raw if is_short else [high * 2**64 + low for low, high in raw]
        return [decimal.Decimal(number).scaleb(-scale, _EXACT) for number in unscaled]

    return to_python
