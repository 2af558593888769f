"""Online keys: a hash tag of project and entity bucket, storage id, then the entity key (see ``docs/formats.md``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from featurestore.codec.key_group import BUCKETS, KeyGroup, KeyPrefix
from featurestore.codec.varint import varint
from featurestore.errors import EntityKeyMissing
from featurestore.ir.nodes import FieldNode

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = [
    "BUCKETS",
    "Columns",
    "KeyCodec",
    "code_key",
    "codes_key",
    "dead_letter_key",
    "index_key",
    "lock_key",
    "manifest_key",
    "marker_key",
    "pointer_key",
    "project_ids_key",
    "project_pattern",
    "rate_key",
]

_GLOB = b"*?[]\\"

Columns: TypeAlias = "Mapping[str, Sequence[Any] | np.ndarray | pa.Array[Any] | pa.ChunkedArray[Any]]"


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
        self._project = _tag_digits(project_id)
        self._tail = b"}" + varint(storage_id)
        self.prefix = KeyPrefix(
            firsts=tuple(b"{" + bytes((0x80 | high,)) + self._project for high in range(128)),
            lasts=tuple(bytes((0x80 | low,)) + self._tail for low in range(128)),
        )
        self._group = KeyGroup(fields, [self.prefix])

    def __reduce__(self) -> tuple[object, ...]:
        return (_key_codec, (self.project_id, self.storage_id, self.fields))

    def encode(self, columns: Columns, *, on_invalid: Literal["raise", "null"] = "raise") -> list[bytes | None]:
        """Give one key for each row, None where any part is null.

        Values are coerced where that loses nothing (``"3"``, ``3.0`` and ``np.int64(3)`` for an Int64 key). Other
        values raise EntityKeyMissing naming the row, or give None with ``on_invalid="null"``.
        """
        return self._group.encode(self._columns(columns), on_invalid=on_invalid).lists[0]

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


def code_key(project: str, digest: str) -> bytes:
    """Where the definitions archive with this digest lies."""
    return f"featurestore:code:{project}:{digest}".encode()


def codes_key(project: str) -> bytes:
    """Where the digests of the stored definitions archives lie, as a JSON list, the newest first."""
    return f"featurestore:codes:{project}".encode()


def marker_key(project_id: int, storage_id: int) -> bytes:
    """Where the publication marker of one (view, version) lies."""
    return f"featurestore:marker:{project_id}:{storage_id}".encode()


def project_pattern(project_id: int) -> bytes:
    """Give the glob that ``SCAN MATCH`` finds all row and lock keys of one project by: these and no others."""
    return b"{?" + _tag_digits(project_id) + b"?}*"


def index_key(project_id: int, storage_id: int) -> bytes:
    """The set of the row keys of one (view, version) that others than its publication wrote: Delta lacks them."""
    return f"featurestore:keys:{project_id}:{storage_id}".encode()


def rate_key(project_id: int, storage_id: int) -> bytes:
    """Where the rate that the senders of one publication share has its next turn."""
    return f"featurestore:rate:{project_id}:{storage_id}".encode()


def dead_letter_key(project: str) -> bytes:
    """The log of rows that a write set aside."""
    return f"featurestore:dead_letters:{project}".encode()


def project_ids_key() -> bytes:
    """The hash of project name to project id, of all projects of one Redis."""
    return b"featurestore:project_ids"


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
