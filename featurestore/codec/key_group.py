"""Keys of several views for one column of entities: what depends on the entity alone is computed once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast
from zlib import crc32

import numpy as np

from featurestore.codec.entity import FIXED_WIDTHS, entity_fields, is_arrow
from featurestore.codec.varint import varint
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Int64

__all__ = ["BUCKETS", "GroupKeys", "KeyGroup", "KeyPrefix"]

BUCKETS = 1 << 14
"""Entities of a project are spread over this many hash tags, as many as a cluster has slots.

The bucket is the low 14 bits of the entity key's CRC-32, seven before and seven behind the project's digits: that way
the tags of a project hit every slot once. Side by side they hit every other slot only, as CRC-16 keeps parity.
"""

_PLAIN_ROWS = 32
"""Below this many rows concatenation is faster than a byte matrix,"""
_ZLIB_ROWS = 512
"""and below this many zlib's CRC-32 of each is faster than NumPy's of all."""
_INT64 = struct.Struct(">q")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPrefix:
    """What stands before the entity key: for each value of the bucket's high and low half the bytes up to it."""

    firsts: tuple[bytes, ...]
    lasts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKeys:
    """One list of keys for each prefix; a key is None where a part of the entity key is null."""

    lists: list[list[bytes | None]]
    has_nulls: bool


class KeyGroup:
    """Keys of one project for entities with the join keys ``fields``, under each of ``prefixes``."""

    def __init__(self, fields: tuple[FieldNode, ...], prefixes: Sequence[KeyPrefix]) -> None:
        self._entity = entity_fields(fields)
        self._is_integer = len(fields) == 1 and fields[0].dtype == Int64
        self._prefixes = tuple(prefixes)

    def encode(self, columns: Sequence[Any], *, on_invalid: Literal["raise", "null"] = "raise") -> GroupKeys:
        """Encode the join keys' columns, in their order; values are coerced as ``KeyCodec.encode`` says."""
        if self._is_integer:
            column = columns[0]
            if isinstance(column, list) and len(column) < _PLAIN_ROWS:
                if set(map(type, column)) == {int}:
                    try:
                        return self._assemble(list(map(_INT64.pack, column)))
                    except struct.error:
                        pass  # too great: the slow way names the row
            elif (integers := _plain_integers(column)) is not None:
                return self._encode_integers(integers)
        return self._assemble_with_nulls(self._entity_keys(columns, on_invalid))

    def _entity_keys(self, columns: Sequence[Any], on_invalid: str) -> list[bytes | None]:
        parts: list[list[bytes | None]] = []
        last = len(columns) - 1
        for number, (field, column) in enumerate(zip(self._entity, columns, strict=True)):
            encoded = field.encode(column, on_invalid=on_invalid)
            if number != last and field.dtype not in FIXED_WIDTHS:
                encoded = [None if part is None else varint(len(part)) + part for part in encoded]
            parts.append(encoded)
        if len(parts) == 1:
            return parts[0]
        return [None if None in row else b"".join(cast("tuple[bytes, ...]", row)) for row in zip(*parts, strict=True)]

    def _assemble(self, entity_keys: Sequence[bytes]) -> GroupKeys:
        firsts = self._prefixes[0].firsts
        tags = [(firsts[(crc := crc32(key)) >> 7 & 0x7F], crc & 0x7F, key) for key in entity_keys]
        lists: list[list[bytes | None]] = []
        for prefix in self._prefixes:
            lasts = prefix.lasts
            lists.append([first + lasts[low] + key for first, low, key in tags])
        return GroupKeys(lists=lists, has_nulls=False)

    def _assemble_with_nulls(self, entity_keys: Sequence[bytes | None]) -> GroupKeys:
        present = [key for key in entity_keys if key is not None]
        group = self._assemble(present)
        if len(present) == len(entity_keys):
            return group
        lists = []
        for keys in group.lists:
            rest = iter(keys)
            lists.append([None if key is None else next(rest) for key in entity_keys])
        return GroupKeys(lists=lists, has_nulls=True)

    def _encode_integers(self, integers: np.ndarray) -> GroupKeys:
        entity = integers.astype(">i8")
        raw = entity.view(np.uint8).reshape(-1, 8)
        if len(integers) < _ZLIB_ROWS:
            checksums = np.array(list(map(crc32, entity.view("V8").tolist())), np.uint32)
        else:
            checksums = _crc32_rows(raw)
        high, low = ((checksums >> 7) & 0x7F).astype(np.uint8), (checksums & 0x7F).astype(np.uint8)
        lists: list[list[bytes | None]] = []
        matrix = np.empty((0, 0), np.uint8)
        for prefix in self._prefixes:
            first, last = prefix.firsts[0], prefix.lasts[0]
            width = len(first) + len(last) + 8
            if matrix.shape[1] == width:  # only the storage id differs
                matrix[:, len(first) + 2 : -8] = np.frombuffer(last[2:], np.uint8)
            else:
                matrix = np.empty((len(integers), width), np.uint8)
                matrix[:, :-8] = np.frombuffer(first + last, np.uint8)
                matrix[:, 1] |= high
                matrix[:, len(first)] |= low
                matrix[:, -8:] = raw
            lists.append(matrix.view(f"V{width}").ravel().tolist())
        return GroupKeys(lists=lists, has_nulls=False)


def _plain_integers(column: Any) -> np.ndarray | None:
    """Give the column as int64 when it holds integers and no null, else None."""
    if isinstance(column, list | tuple):
        if set(map(type, column)) != {int}:
            return None
        try:
            return np.array(column, dtype=np.int64)
        except OverflowError:
            return None
    if is_arrow(column):
        import pyarrow as pa

        if not pa.types.is_integer(column.type) or pa.types.is_uint64(column.type) or column.null_count:
            return None
        return np.asarray(column.to_numpy()).astype(np.int64, copy=False)
    if isinstance(column, np.ma.MaskedArray):
        return None
    if not isinstance(column, np.ndarray) and isinstance(getattr(column, "dtype", None), np.dtype):
        column = column.to_numpy()  # a pandas series of plain numbers
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu" and column.dtype != np.uint64:
        return column.astype(np.int64, copy=False)
    return None


@cache
def _crc32_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1).astype(np.uint32)
    return table


def _crc32_rows(rows: np.ndarray) -> np.ndarray:
    """Compute zlib's CRC-32 of each row of a byte matrix."""
    table = _crc32_table()
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return crc ^ np.uint32(0xFFFFFFFF)
