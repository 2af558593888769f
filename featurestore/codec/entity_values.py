"""From a row's key back to the entity's values, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal as PyDecimal
from typing import Any

from featurestore.codec.entity import FIXED_WIDTHS
from featurestore.intervals import from_micros, show_instant
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Bool, Bytes, Date, Decimal, DType, Int32, Int64, Timestamp

__all__ = ["entity_of", "show_entity", "storage_id_of"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def entity_of(key: bytes, fields: Sequence[FieldNode]) -> dict[str, Any]:
    """Give the entity's values by join key; ValueError where the key is not one of these fields."""
    _, rest = _varint(key, key.index(b"}") + 1)
    values: dict[str, Any] = {}
    for number, field in enumerate(fields):
        if field.dtype in FIXED_WIDTHS:
            length = 1 if field.dtype == Bool else 8 if field.dtype in (Int64, Timestamp) else 4
        elif number == len(fields) - 1:
            length = len(key) - rest
        else:
            length, rest = _varint(key, rest)
        part = key[rest : rest + length]
        if len(part) != length:
            raise ValueError(f"key {key.hex()} ends inside {field.name}")
        values[field.name] = _value(part, field.dtype)
        rest += length
    if rest != len(key):
        raise ValueError(f"key {key.hex()} is longer than its fields")
    return values


def show_entity(key: bytes, fields: Sequence[FieldNode]) -> str:
    """Write the entity's values and the key, such as ``user_id=7 (key 7bdf…)``."""
    values = entity_of(key, fields)
    shown = ", ".join(f"{name}={_show(value)}" for name, value in values.items())
    return f"{shown} (key {key.hex()})"


def storage_id_of(key: bytes) -> int:
    """Give the storage id in a row's key; 0 for a lock's."""
    return _varint(key, key.index(b"}") + 1)[0]


def _value(part: bytes, dtype: DType) -> Any:
    if dtype in (Int32, Int64):
        return int.from_bytes(part, "big", signed=True)
    if dtype == Date:
        return date.fromordinal(int.from_bytes(part, "big", signed=True) + _EPOCH_DAY)
    if dtype == Timestamp:
        return from_micros(int.from_bytes(part, "big", signed=True))
    if dtype == Bool:
        return part == b"\1"
    if dtype == Bytes:
        return part
    if isinstance(dtype, Decimal):
        return PyDecimal(part.decode()).scaleb(-dtype.scale)
    return part.decode()


def _show(value: Any) -> str:
    return show_instant(value) if hasattr(value, "tzinfo") else repr(value) if isinstance(value, str) else str(value)


def _varint(key: bytes, start: int) -> tuple[int, int]:
    """Read LEB128; give the number and where it ends."""
    number = shift = 0
    for place in range(start, len(key)):
        number |= (key[place] & 0x7F) << shift
        shift += 7
        if not key[place] & 0x80:
            return number, place + 1
    raise ValueError(f"key {key.hex()} ends inside a number")
