"""Bodies of variable-width values written: text, bytes, lists and maps, nested to any depth.

A list's body is ``u32 count * 2 + has_nulls``, a bitmap of present elements iff it has nulls, then the elements:
packed fixed-width ones, or a ``u32`` length of each and then their bodies. A map's body is the ``u32`` length of its
keys' list body, that body, then its values' list body; pairs are ordered by the keys' bytes: equal maps, equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.codec.fixed import LONG_DECIMAL, FixedType, fixed_type
from featurestore.spec.dtypes import Array, Decimal, DType, Map

__all__ = ["encode_bodies", "pack_fixed"]

_U32 = struct.Struct("<I")


def pack_fixed(fixed: FixedType, array: pa.Array[Any]) -> np.ndarray:
    """Give the stored form of an array of exactly the dtype's Arrow type: zero where null, one NaN for all NaNs."""
    if isinstance(fixed.dtype, Decimal):
        return _pack_decimal(fixed, array)
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_date32(array.type):
        array = array.view(pa.int32())
    if array.null_count:
        array = array.fill_null(pa.scalar(0, array.type) if not pa.types.is_boolean(array.type) else False)
    values = np.asarray(array.to_numpy(zero_copy_only=False)).astype(fixed.storage, copy=False)
    if values.dtype.kind == "f":
        nan = np.isnan(values)
        if nan.any():
            values = np.where(nan, values.dtype.type(np.nan), values)
    return values


def _pack_decimal(fixed: FixedType, array: pa.Array[Any]) -> np.ndarray:
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), fixed.storage)
    raw = np.frombuffer(memoryview(data), LONG_DECIMAL)[array.offset : array.offset + len(array)]
    if array.null_count:
        raw = raw.copy()
        raw[~np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))] = 0
    return raw if fixed.storage == LONG_DECIMAL else raw["low"].view(np.int64).astype(fixed.storage, copy=False)


def encode_bodies(array: pa.Array[Any], dtype: DType) -> list[bytes]:
    """Give the body of each value; a null has an empty body (the row's bitmap tells it from an empty value)."""
    match dtype:
        case Array(element=element):
            return _encode_lists(cast("pa.ListArray[Any]", array), element)
        case Map(key=key, value=value):
            return _encode_maps(cast("pa.MapArray[Any, Any]", array), key, value)
        case _:
            return [b"" if body is None else body for body in array.cast(pa.binary()).to_pylist()]


def _encode_lists(array: pa.ListArray[Any], element: DType) -> list[bytes]:
    offsets = array.offsets.to_numpy().tolist()
    start = offsets[0]
    children = array.values.slice(start, offsets[-1] - start)
    elements = _Elements(children, element)
    valid = array.is_valid().to_pylist()
    return [
        elements.body(offsets[row] - start, offsets[row + 1] - start) if valid[row] else b""
        for row in range(len(array))
    ]


def _encode_maps(array: pa.MapArray[Any, Any], key: DType, value: DType) -> list[bytes]:
    offsets = array.offsets.to_numpy().tolist()
    start = offsets[0]
    keys = _Elements(array.keys.slice(start, offsets[-1] - start), key)
    items = _Elements(array.items.slice(start, offsets[-1] - start), value)
    valid = array.is_valid().to_pylist()
    bodies = []
    for row in range(len(array)):
        if not valid[row]:
            bodies.append(b"")
            continue
        last_of_key = {keys.part(place): place for place in range(offsets[row] - start, offsets[row + 1] - start)}
        places = [last_of_key[part] for part in sorted(last_of_key)]
        key_body = keys.gathered(places)
        bodies.append(_U32.pack(len(key_body)) + key_body + items.gathered(places))
    return bodies


class _Elements:
    """The elements of all lists of a column, encoded once, from which each list's body is cut."""

    def __init__(self, children: pa.Array[Any], dtype: DType) -> None:
        self._fixed: FixedType | None = fixed_type(dtype)
        self._valid = np.asarray(children.is_valid().to_numpy(zero_copy_only=False))
        self._has_nulls = bool(children.null_count)
        if self._fixed is not None:
            self._packed = pack_fixed(self._fixed, children).tobytes()
        else:
            self._bodies = encode_bodies(children, dtype)

    def part(self, place: int) -> bytes:
        if self._fixed is None:
            return self._bodies[place]
        width = self._fixed.width
        return self._packed[place * width : (place + 1) * width]

    def body(self, start: int, end: int) -> bytes:
        valid = self._valid[start:end]
        if self._fixed is not None:
            width = self._fixed.width
            return _list_head(valid, self._has_nulls) + self._packed[start * width : end * width]
        bodies = self._bodies[start:end]
        lengths = np.fromiter(map(len, bodies), "<u4", len(bodies)).tobytes()
        return _list_head(valid, self._has_nulls) + lengths + b"".join(bodies)

    def gathered(self, places: Sequence[int]) -> bytes:
        valid = self._valid[list(places)] if places else np.empty(0, np.bool_)
        parts = [self.part(place) for place in places]
        lengths = b"" if self._fixed is not None else np.fromiter(map(len, parts), "<u4", len(parts)).tobytes()
        return _list_head(valid, self._has_nulls) + lengths + b"".join(parts)


def _list_head(valid: np.ndarray, may_have_nulls: bool) -> bytes:
    count = len(valid)
    if not may_have_nulls or valid.all():
        return _U32.pack(count << 1)
    return _U32.pack(count << 1 | 1) + np.packbits(valid, bitorder="little").tobytes()
