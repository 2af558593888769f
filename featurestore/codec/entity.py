"""One part of an entity key: lossless coercion to the join key's type, and its bytes."""

from __future__ import annotations

import decimal
import math
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from featurestore.errors import EntityKeyMissing
from featurestore.intervals import parse_instant, to_micros
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Bool, Bytes, Date, Decimal, DType, Int32, Int64, String, Timestamp, show_dtype

__all__ = ["FIXED_WIDTHS", "EntityField", "entity_fields", "is_arrow"]

FIXED_WIDTHS: frozenset[DType] = frozenset({Int32, Int64, Bool, Date, Timestamp})
"""Types whose keys all have one length; the others take a length prefix unless they stand last."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EXACT_FLOAT = 2**53
_INT32, _INT64 = struct.Struct(">i"), struct.Struct(">q")


class _Invalid(Exception):
    """The value is not of the type; the text says what is valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityField:
    """A join key's name and type, and the function from one value that is not null to bytes."""

    name: str
    dtype: DType
    to_bytes: Callable[[Any], bytes]

    def encode(self, column: Any, *, on_invalid: str) -> list[bytes | None]:
        """Encode a column; None where it is null (None, NaN, NaT, pandas' NA)."""
        values = _python_values(column)
        if self.dtype == String and set(map(type, values)) <= {str, type(None)}:
            with suppress(UnicodeEncodeError):
                return [None if value is None else value.encode() for value in values]
        encoded: list[bytes | None] = []
        for row, value in enumerate(values):
            if _is_null(value):
                encoded.append(None)
                continue
            try:
                encoded.append(self.to_bytes(value))
            except (_Invalid, struct.error) as problem:
                if on_invalid == "raise":
                    raise self._refused(row, value, problem) from None
                encoded.append(None)
        return encoded

    def _refused(self, row: int, value: object, problem: Exception) -> EntityKeyMissing:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        valid = str(problem) if isinstance(problem, _Invalid) else "a whole number in the type's range"
        return EntityKeyMissing(
            f"entity row {row}: join key {self.name}: found {shown} ({type(value).__name__}); "
            f"valid for {show_dtype(self.dtype)} is {valid}",
            row=row,
            column=self.name,
        )


def entity_fields(fields: Sequence[FieldNode]) -> tuple[EntityField, ...]:
    return tuple(EntityField(name=f.name, dtype=f.dtype, to_bytes=_encoder(f)) for f in fields)


def _encoder(field: FieldNode) -> Callable[[Any], bytes]:
    match field.dtype:
        case dtype if dtype == Int64:
            return lambda value: _INT64.pack(_integer(value))
        case dtype if dtype == Int32:
            return lambda value: _INT32.pack(_integer(value))
        case dtype if dtype == String:
            return _text
        case dtype if dtype == Bytes:
            return _bytes
        case dtype if dtype == Bool:
            return _bool
        case dtype if dtype == Date:
            return lambda value: _INT32.pack(_days(value))
        case dtype if dtype == Timestamp:
            return lambda value: _INT64.pack(_micros(value))
        case Decimal(precision=precision, scale=scale):
            return lambda value: _unscaled(value, precision, scale)
        case _:
            raise ValueError(
                f"join key {field.name}: {show_dtype(field.dtype)} has no exact key form; "
                "valid are int32, int64, string, bytes, bool, date, timestamp and decimal(p,s)"
            )


def _integer(value: Any) -> int:
    valid = "a whole number, also as text such as '3' or as 3.0"
    if isinstance(value, bool | np.bool_):
        raise _Invalid(valid)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if not number.is_integer() or abs(number) > _EXACT_FLOAT:
            raise _Invalid(valid + " (floats up to 2**53, where they are exact)")
        return int(number)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite() or value != value.to_integral_value():
            raise _Invalid(valid)
        return int(value)
    if isinstance(value, str):
        try:
            whole = int(value)
        except ValueError:
            raise _Invalid(valid) from None
        if str(whole) != value:
            raise _Invalid(valid + " (no spaces, plus signs or zeros in front)")
        return whole
    raise _Invalid(valid)


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Invalid("text (a number must be written as text by the caller: '7' and '07' are two keys)")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _Invalid("text without lone surrogates") from None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _Invalid("bytes")
    return bytes(value)


def _bool(value: Any) -> bytes:
    if not isinstance(value, bool | np.bool_):
        raise _Invalid("True or False")
    return b"\1" if value else b"\0"


def _days(value: Any) -> int:
    valid = "a date, or text such as '2026-01-31'"
    if isinstance(value, np.datetime64):
        days = value.astype("datetime64[D]")
        if days != value:
            raise _Invalid(valid)
        return int(days.astype(np.int64))
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise _Invalid(valid) from None
    if isinstance(value, datetime):
        if value.time() != datetime.min.time():
            raise _Invalid(valid + " (a time of day would be lost)")
        value = value.date()
    if not isinstance(value, date):
        raise _Invalid(valid)
    return value.toordinal() - _EPOCH_DAY


def _micros(value: Any) -> int:
    valid = "an instant of whole microseconds, or ISO 8601 text"
    if isinstance(value, np.datetime64):
        micros = value.astype("datetime64[us]")
        if micros != value:
            raise _Invalid(valid)
        return int(micros.astype(np.int64))
    if isinstance(value, str):
        try:
            value = parse_instant(value)
        except ValueError:
            raise _Invalid(valid) from None
    if not isinstance(value, datetime) or getattr(value, "nanosecond", None):
        raise _Invalid(valid)
    return to_micros(value)


def _unscaled(value: Any, precision: int, scale: int) -> bytes:
    """Give the unscaled number, as text: one form for each value whatever its trailing zeros."""
    valid = f"a number of at most {precision} digits, {scale} of them behind the point"
    if isinstance(value, bool | float | np.floating | np.bool_):
        raise _Invalid(valid + ", as Decimal, int or text")
    try:
        number = decimal.Decimal(value if isinstance(value, decimal.Decimal | str) else int(value))
        scaled = number.scaleb(scale, decimal.Context(prec=precision + scale + 60))
    except (decimal.DecimalException, TypeError, ValueError):
        raise _Invalid(valid) from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or len(str(abs(int(scaled)))) > precision:
        raise _Invalid(valid)
    return str(int(scaled)).encode()


def _is_null(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, float | np.floating | np.datetime64):
        return bool(np.isnat(value)) if isinstance(value, np.datetime64) else math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _python_values(column: Any) -> Sequence[Any]:
    if is_arrow(column):
        values: list[Any] = column.to_pylist()
        return values
    if isinstance(column, np.ma.MaskedArray):
        masked: list[Any] = column.astype(object).tolist()
        return masked
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        return list(column)
    if isinstance(column, np.ndarray):
        plain: list[Any] = column.tolist()
        return plain
    return column if isinstance(column, list | tuple) else list(column)


def is_arrow(column: Any) -> bool:
    """Say whether it is an Arrow array, without an import of pyarrow: whoever made one has it loaded."""
    return type(column).__module__.partition(".")[0] == "pyarrow"
