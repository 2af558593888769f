"""Where each part of a packed row lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurestore.codec.fixed import FixedType, fixed_type
from featurestore.codec.stamp import STAMP_BYTES
from featurestore.ir.nodes import FieldNode

__all__ = ["CODEC", "FLAGS_MASK", "HEADER_BYTES", "HOLDS", "TOMBSTONE", "Layout"]

CODEC = 0x10
"""High half of the byte after the stamp: the format, here 1. The low half has the flags."""
FLAGS_MASK = 0x0F
HOLDS = 0x01
TOMBSTONE = 0x02
HEADER_BYTES = STAMP_BYTES + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The packed row without its variable part, as a NumPy record.

    Its members are event, created, codec, bitmap, and ``c0``, ``c1`` … by the field's number. A variable-width field's
    member is the end of its body in the variable part; it starts where the body before it ends.
    """

    fields: tuple[FieldNode, ...]
    storage: np.dtype[Any]
    stamps: np.dtype[Any]
    """The same record with nothing but the stamp, as bytes."""
    width: int
    fixed: tuple[FixedType | None, ...]
    """For each field its fixed-width form, None for a variable-width one."""
    variable: tuple[int, ...]
    """Numbers of the variable-width fields, in order."""
    offsets: tuple[int, ...]
    """Where each field's member begins."""
    full: bytes
    """The bitmap of a row without nulls."""
    numbers: dict[str, int]
    """Each field's number by its name."""

    @classmethod
    def of(cls, fields: Sequence[FieldNode]) -> Layout:
        members: list[tuple[Any, ...]] = [("event", ">u8"), ("created", ">u8"), ("codec", "u1")]
        if fields:
            members.append(("bitmap", "u1", ((len(fields) + 7) // 8,)))
        forms = tuple(fixed_type(field.dtype) for field in fields)
        members += [(f"c{number}", "<u4" if form is None else form.storage) for number, form in enumerate(forms)]
        storage = np.dtype(members)
        places: Any = storage.fields
        return cls(
            fields=tuple(fields),
            storage=storage,
            stamps=np.dtype({"names": ["stamp"], "formats": [f"S{STAMP_BYTES}"], "itemsize": storage.itemsize}),
            width=storage.itemsize,
            fixed=forms,
            variable=tuple(number for number, form in enumerate(forms) if form is None),
            offsets=tuple(places[f"c{number}"][1] for number in range(len(forms))),
            full=np.packbits(np.ones(len(fields), np.bool_), bitorder="little").tobytes(),
            numbers={field.name: number for number, field in enumerate(fields)},
        )
