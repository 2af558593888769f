"""Bodies of variable-width values read: text, bytes, lists and maps, nested to any depth (``bodies`` writes them)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from featurestore.codec.fixed import fixed_type
from featurestore.spec.dtypes import Array, Bytes, DType, Json, Map, String

__all__ = ["decode_bodies", "decode_body"]

_U32 = struct.Struct("<I")


def decode_bodies(
    blobs: Sequence[bytes],
    base: int,
    starts: Sequence[int],
    ends: Sequence[int],
    valid: list[bool] | None,
    dtype: DType,
) -> list[Any]:
    """Give one Python value for each blob, whose body lies from ``base + start`` to ``base + end``; None for a null."""
    if valid is None:
        valid = [True] * len(blobs)
    places = zip(blobs, starts, ends, valid, strict=True)
    if dtype in (String, Json):
        return [blob[base + start : base + end].decode() if ok else None for blob, start, end, ok in places]
    if dtype == Bytes:
        return [blob[base + start : base + end] if ok else None for blob, start, end, ok in places]
    return [decode_body(blob[base + start : base + end], dtype) if ok else None for blob, start, end, ok in places]


def decode_body(body: bytes, dtype: DType) -> Any:
    """Give one value that is not null as a Python object."""
    match dtype:
        case Array(element=element):
            return _decode_list(body, element)
        case Map(key=key, value=value):
            (size,) = _U32.unpack_from(body)
            keys = _decode_list(body[4 : 4 + size], key)
            return dict(zip(keys, _decode_list(body[4 + size :], value), strict=True))
        case _ if dtype == Bytes:
            return body
        case _:
            return body.decode()


def _decode_list(body: bytes, element: DType) -> list[Any]:
    (head,) = _U32.unpack_from(body)
    count, at = head >> 1, 4
    valid: list[bool] | None = None
    if head & 1:
        size = (count + 7) // 8
        bits = np.frombuffer(body, np.uint8, size, at)
        valid = np.unpackbits(bits, count=count, bitorder="little").astype(np.bool_).tolist()
        at += size
    fixed = fixed_type(element)
    values: list[Any]
    if fixed is not None:
        values = fixed.to_list(np.frombuffer(body, fixed.storage, count, at))
    else:
        values, ends = ([], np.cumsum(np.frombuffer(body, "<u4", count, at), dtype=np.int64).tolist())
        at += 4 * count
        start = 0
        for end in ends:
            is_null = valid is not None and not valid[len(values)]
            values.append(None if is_null else decode_body(body[at + start : at + end], element))
            start = end
        return values
    return values if valid is None else [v if present else None for v, present in zip(values, valid, strict=True)]
