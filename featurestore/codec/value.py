"""Packed rows: stamp, codec byte, bitmap, fixed-width part, variable part (byte by byte in ``docs/formats.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import conform
from featurestore.codec.layout import CODEC, HEADER_BYTES, HOLDS, TOMBSTONE, Layout
from featurestore.codec.rows import DecodedColumn, DecodedRows, decode_rows
from featurestore.codec.stamp import is_newer, pack_stamp, stamp_of, stamps_of
from featurestore.codec.variable import encode_bodies
from featurestore.ir.nodes import FieldNode

__all__ = ["DecodedColumn", "DecodedRows", "RowCodec", "is_newer", "stamp_of", "tombstone"]


class RowCodec:
    """Rows of one (view, version) with the value columns ``fields`` (``ir.columns.stored_features``), in that order."""

    def __init__(self, fields: tuple[FieldNode, ...]) -> None:
        self.fields = fields
        self._layout = Layout.of(fields)

    def __reduce__(self) -> tuple[object, ...]:
        return (RowCodec, (self.fields,))

    def encode(
        self,
        table: pa.Table | pa.RecordBatch,
        *,
        event_us: np.ndarray,
        created_us: np.ndarray,
        holds: np.ndarray | None = None,
        deleted: np.ndarray | None = None,
    ) -> list[bytes]:
        """Give one value for each row of ``table``, whose columns are found by field name.

        Equal rows are equal bytes. ``holds`` marks rows that hold until the key's next row; a ``deleted`` row becomes a
        tombstone. SchemaMismatch lists all columns that are missing or do not fit their type.
        """
        rows = len(table)
        arrays = conform(table, self.fields)
        packed = np.zeros(rows, self._layout.storage)
        packed["event"] = stamps_of(np.asarray(event_us))
        packed["created"] = stamps_of(np.asarray(created_us))
        flags = np.full(rows, CODEC, np.uint8)
        if holds is not None:
            flags |= np.where(np.asarray(holds, np.bool_), np.uint8(HOLDS), np.uint8(0))
        if deleted is not None:
            flags |= np.where(np.asarray(deleted, np.bool_), np.uint8(TOMBSTONE), np.uint8(0))
        packed["codec"] = flags
        if self.fields:
            packed["bitmap"] = _bitmaps(arrays, rows)
        bodies: list[list[bytes]] = []
        ends = np.zeros(rows, np.uint32)
        for number, (field, array) in enumerate(zip(self.fields, arrays, strict=True)):
            fixed = self._layout.fixed[number]
            if fixed is not None:
                packed[f"c{number}"] = fixed.pack(array)
                continue
            column = encode_bodies(array, field.dtype)
            ends += np.fromiter(map(len, column), np.uint32, rows)
            packed[f"c{number}"] = ends
            bodies.append(column)
        return self._cut(packed, bodies, deleted)

    def decode(self, blobs: Sequence[bytes | None]) -> DecodedRows:
        """Read stored values, in order; None and tombstones are rows that are not present.

        Columns are decoded when they are first asked for. StateError where a value is not of this codec and schema.
        """
        return decode_rows(self._layout, self.fields, blobs)

    def _cut(self, packed: np.ndarray, bodies: list[list[bytes]], deleted: np.ndarray | None) -> list[bytes]:
        width = self._layout.storage.itemsize
        joined = packed.tobytes()
        rows = [joined[start : start + width] for start in range(0, len(joined), width)]
        if bodies:
            rows = [b"".join(parts) for parts in zip(rows, *bodies, strict=True)]
        if deleted is not None:
            for row in np.flatnonzero(deleted).tolist():
                rows[row] = rows[row][:HEADER_BYTES]
        return rows


def tombstone(event_us: int, created_us: int) -> bytes:
    """Give a header without body: it wins over every older value and reads as absent."""
    return pack_stamp(event_us, created_us) + bytes((CODEC | TOMBSTONE,))


def _bitmaps(arrays: Sequence[pa.Array[Any]], rows: int) -> np.ndarray:
    valid = np.ones((rows, len(arrays)), np.bool_)
    for number, array in enumerate(arrays):
        if array.null_count:
            valid[:, number] = array.is_valid().to_numpy(zero_copy_only=False)
    return np.packbits(valid, axis=1, bitorder="little")
