"""Rows written: a table's columns into packed values, all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import conform
from featurestore.codec.bodies import encode_bodies, pack_fixed
from featurestore.codec.layout import CODEC, HEADER_BYTES, HOLDS, TOMBSTONE, Layout
from featurestore.codec.stamp import stamps_of

__all__ = ["encode_rows"]


def encode_rows(
    layout: Layout,
    table: pa.Table | pa.RecordBatch,
    *,
    event_us: np.ndarray,
    created_us: np.ndarray,
    holds: np.ndarray | None = None,
    deleted: np.ndarray | None = None,
) -> list[bytes]:
    """Give one value for each row; see ``RowCodec.encode``."""
    rows = len(table)
    arrays = conform(table, layout.fields)
    packed = np.zeros(rows, layout.storage)
    packed["event"] = stamps_of(np.asarray(event_us))
    packed["created"] = stamps_of(np.asarray(created_us))
    flags = np.full(rows, CODEC, np.uint8)
    if holds is not None:
        flags |= np.where(np.asarray(holds, np.bool_), np.uint8(HOLDS), np.uint8(0))
    if deleted is not None:
        flags |= np.where(np.asarray(deleted, np.bool_), np.uint8(TOMBSTONE), np.uint8(0))
    packed["codec"] = flags
    if layout.fields:
        packed["bitmap"] = _bitmaps(arrays, rows)
    bodies: list[list[bytes]] = []
    ends = np.zeros(rows, np.uint32)
    for number, (field, array) in enumerate(zip(layout.fields, arrays, strict=True)):
        fixed = layout.fixed[number]
        if fixed is not None:
            packed[f"c{number}"] = pack_fixed(fixed, array)
            continue
        column = encode_bodies(array, field.dtype)
        ends += np.fromiter(map(len, column), np.uint32, rows)
        packed[f"c{number}"] = ends
        bodies.append(column)
    return _cut(layout, packed, bodies, deleted)


def _cut(layout: Layout, packed: np.ndarray, bodies: list[list[bytes]], deleted: np.ndarray | None) -> list[bytes]:
    width = layout.width
    joined = packed.tobytes()
    rows = [joined[start : start + width] for start in range(0, len(joined), width)]
    if bodies:
        rows = [b"".join(parts) for parts in zip(rows, *bodies, strict=True)]
    if deleted is not None:
        for row in np.flatnonzero(deleted).tolist():
            rows[row] = rows[row][:HEADER_BYTES]
    return rows


def _bitmaps(arrays: Sequence[pa.Array[Any]], rows: int) -> np.ndarray:
    valid = np.ones((rows, len(arrays)), np.bool_)
    for number, array in enumerate(arrays):
        if array.null_count:
            valid[:, number] = array.is_valid().to_numpy(zero_copy_only=False)
    return np.packbits(valid, axis=1, bitorder="little")
