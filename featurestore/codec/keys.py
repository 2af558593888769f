"""Online keys: a hash tag of project and entity bucket, storage id, then the entity key (see ``docs/formats.md``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast
from zlib import crc32

import numpy as np
import pyarrow as pa

from featurestore.codec.entity import FIXED_WIDTHS, entity_fields
from featurestore.codec.varint import varint
from featurestore.errors import EntityKeyMissing
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Int64

__all__ = [
    "BUCKETS",
    "KeyCodec",
    "dead_letter_key",
    "index_key",
    "lock_key",
    "manifest_key",
    "marker_key",
    "pointer_key",
    "project_ids_key",
]

BUCKETS = 1 << 14
"""Entities of a project are spread over this many hash tags, as many as a cluster has slots.

The bucket is the low 14 bits of the entity key's CRC-32, seven before and seven behind the project's digits: that way
the tags of a project hit every slot once. Side by side they hit every other slot only, as CRC-16 keeps parity.
"""

_SCALAR_ROWS = 256
"""Below this many rows a plain loop is faster than NumPy's fixed cost."""
_INT64 = struct.Struct(">q")
_GLOB = b"*?[]\\"

Columns = Mapping[str, "Sequence[Any] | np.ndarray | pa.Array[Any] | pa.ChunkedArray[Any]"]


class KeyCodec:
    """Keys of one (view, version) for entities with the join keys ``fields``, in that order.

    All keys of one entity key in one project share a hash tag, whatever the view: so one cluster slot.
    """

    def __init__(self, *, project_id: int, storage_id: int, fields: tuple[FieldNode, ...]) -> None:
        if project_id < 1 or storage_id < 1:
            raise ValueError(f"project_id and storage_id are at least 1; found {project_id} and {storage_id}")
        self.fields = fields
        self.project_id = project_id
        self.storage_id = storage_id
        self._entity = entity_fields(fields)
        self._project = _tag_digits(project_id)
        self._tail = b"}" + varint(storage_id)
        self._firsts = [b"{" + bytes((0x80 | high,)) + self._project for high in range(128)]
        self._lasts = [bytes((0x80 | low,)) + self._tail for low in range(128)]

    def __reduce__(self) -> tuple[object, ...]:
        return (_key_codec, (self.project_id, self.storage_id, self.fields))

    def encode(self, columns: Columns, *, on_invalid: Literal["raise", "null"] = "raise") -> list[bytes | None]:
        """Give one key for each row, None where any part is null.

        Values are coerced where that loses nothing (``"3"``, ``3.0`` and ``np.int64(3)`` for an Int64 key). Other
        values raise EntityKeyMissing naming the row, or give None with ``on_invalid="null"``.
        """
        values = self._columns(columns)
        if len(self.fields) == 1 and self.fields[0].dtype == Int64:
            integers = _plain_integers(values[0])
            if integers is not None:
                return self._encode_integers(integers)
        return self._assemble(self._entity_keys(values, on_invalid))

    def scan_pattern(self) -> bytes:
        """Give the glob that ``SCAN MATCH`` finds this codec's keys by: these and no others."""
        return b"{?" + self._project + b"?" + _escape(self._tail) + b"*"

    def owns(self, key: bytes) -> bool:
        """Say whether this (project, storage id) made the key; lock keys are owned by none."""
        last = 2 + len(self._project)
        return key.startswith(b"{") and key.startswith(self._project, 2) and key.startswith(self._tail, last + 1)

    def _columns(self, columns: Columns) -> list[Any]:
        missing = [field.name for field in self.fields if field.name not in columns]
        if missing:
            found = ", ".join(columns) or "none"
            needed = ", ".join(field.name for field in self.fields)
            raise EntityKeyMissing(
                f"entity rows lack the join key {', '.join(missing)}; found {found}; each row needs {needed}",
                missing=missing,
            )
        values = [columns[field.name] for field in self.fields]
        lengths = {field.name: len(column) for field, column in zip(self.fields, values, strict=True)}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise EntityKeyMissing(f"entity key columns differ in length: {shown}; give one value for each row")
        return values

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

    def _assemble(self, entity_keys: Sequence[bytes | None]) -> list[bytes | None]:
        firsts, lasts = self._firsts, self._lasts
        return [
            None if key is None else firsts[(crc := crc32(key)) >> 7 & 0x7F] + lasts[crc & 0x7F] + key
            for key in entity_keys
        ]

    def _encode_integers(self, integers: np.ndarray) -> list[bytes | None]:
        if len(integers) < _SCALAR_ROWS:
            return self._assemble(list(map(_INT64.pack, integers.tolist())))
        raw = integers.astype(">i8").view(np.uint8).reshape(-1, 8)
        buckets = _crc32_rows(raw) & (BUCKETS - 1)
        prefix = np.frombuffer(self._firsts[0] + self._lasts[0], np.uint8)
        width = len(prefix) + 8
        matrix = np.empty((len(integers), width), np.uint8)
        matrix[:, :-8] = prefix
        matrix[:, 1] |= (buckets >> 7).astype(np.uint8)
        matrix[:, 2 + len(self._project)] |= (buckets & 0x7F).astype(np.uint8)
        matrix[:, -8:] = raw
        packed = matrix.tobytes()
        return [packed[start : start + width] for start in range(0, len(packed), width)]


def _key_codec(project_id: int, storage_id: int, fields: tuple[FieldNode, ...]) -> KeyCodec:
    return KeyCodec(project_id=project_id, storage_id=storage_id, fields=fields)


def lock_key(key: bytes) -> bytes:
    """Give the key of the lock over one row's key; it has the same hash tag. Storage id 0 marks it."""
    end = key.index(b"}") + 1
    return key[:end] + b"\0L" + key[end:]


def pointer_key(project: str) -> bytes:
    """Where the project's pointer record lies (``codec.pointer``)."""
    return f"featurestore:pointer:{project}".encode()


def manifest_key(project: str) -> bytes:
    """Where the project's manifest lies."""
    return f"featurestore:manifest:{project}".encode()


def nodes_key(project: str) -> bytes:
    """Where the definitions of view versions other than the manifest's lie, as long as they may be served."""
    return f"featurestore:nodes:{project}".encode()


def marker_key(project_id: int, storage_id: int) -> bytes:
    """Where the publication marker of one (view, version) lies."""
    return f"featurestore:marker:{project_id}:{storage_id}".encode()


def index_key(project_id: int, storage_id: int) -> bytes:
    """The set of the row keys of one (view, version) that others than its publication wrote: Delta lacks them."""
    return f"featurestore:keys:{project_id}:{storage_id}".encode()


def dead_letter_key(project: str) -> bytes:
    """The log of rows that a write set aside."""
    return f"featurestore:dead_letters:{project}".encode()


def project_ids_key() -> bytes:
    """The hash of project name to project id, of all projects of one Redis."""
    return b"featurestore:project_ids"


def _plain_integers(column: Any) -> np.ndarray | None:
    """Give the column as int64 when it holds integers and no null, else None."""
    if isinstance(column, list | tuple):
        if set(map(type, column)) != {int}:
            return None
        try:
            return np.array(column, dtype=np.int64)
        except OverflowError:
            return None
    if isinstance(column, pa.ChunkedArray | pa.Array):
        if not pa.types.is_integer(column.type) or pa.types.is_uint64(column.type) or column.null_count:
            return None
        return np.asarray(column.to_numpy()).astype(np.int64, copy=False)
    if isinstance(column, np.ma.MaskedArray):
        return None
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu" and column.dtype != np.uint64:
        return column.astype(np.int64, copy=False)
    return None


def _tag_digits(number: int) -> bytes:
    """Write base 128 with the high bit of every byte set: no byte of it is ``{`` or ``}``."""
    digits = bytearray()
    while True:
        digits.append(0x80 | (number & 0x7F))
        number >>= 7
        if not number:
            return bytes(reversed(digits))


def _escape(literal: bytes) -> bytes:
    return b"".join((b"\\" if byte in _GLOB else b"") + bytes((byte,)) for byte in literal)


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
