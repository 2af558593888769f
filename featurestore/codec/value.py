"""Packed rows: stamp, codec byte, bitmap, fixed-width part, variable part (byte by byte in ``docs/formats.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from featurestore.codec.columns import DecodedColumn, ListReader
from featurestore.codec.layout import CODEC, TOMBSTONE, Layout
from featurestore.codec.rows import DecodedRows, decode_rows
from featurestore.codec.stamp import is_newer, pack_stamp, stamp_of
from featurestore.ir.nodes import FieldNode

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DecodedColumn", "DecodedRows", "ListReader", "RowCodec", "is_newer", "stamp_of", "tombstone"]


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
        from featurestore.codec.encoding import encode_rows

        return encode_rows(self._layout, table, event_us=event_us, created_us=created_us, holds=holds, deleted=deleted)

    def decode(self, blobs: Sequence[bytes | None]) -> DecodedRows:
        """Read stored values, in order; None and tombstones are rows that are not present.

        Headers and columns are decoded when they are first asked for. StateError where a value is not of this schema,
        UnknownCodec where a newer release wrote it.
        """
        return decode_rows(self._layout, blobs)

    def list_reader(self, names: Sequence[str]) -> ListReader:
        """Make the reader of some fields as Python lists."""
        return ListReader(self._layout, [self._layout.numbers[name] for name in names])


def tombstone(event_us: int, created_us: int) -> bytes:
    """Give a header without body: it wins over every older value and reads as absent."""
    return pack_stamp(event_us, created_us) + bytes((CODEC | TOMBSTONE,))
