"""The keys that a request reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from featurestore.serving.entity_rows import EntityColumns
from featurestore.serving.snapshot import BoundPlan

__all__ = ["Blobs", "ReadKeys", "encode_keys"]

Blobs: TypeAlias = Sequence[bytes | None]


@dataclass(slots=True)
class ReadKeys:
    """The keys of each read; of one that was never published all are None."""

    lists: list[Blobs]
    has_nulls: bool
    count: int


def encode_keys(bound: BoundPlan, columns: EntityColumns) -> ReadKeys:
    """Encode the keys of each read from the request's columns."""
    lists: list[Blobs] = [()] * len(bound.reads)
    if not columns.count:
        return ReadKeys(lists, False, 0)
    has_nulls = False
    done = 0
    for keyed in bound.keyed:
        group = keyed.group.encode([columns.columns[name] for name in keyed.columns])
        has_nulls |= group.has_nulls
        for read, keys in zip(keyed.reads, group.lists, strict=True):
            lists[read] = keys
            done += 1
    if done < len(lists):
        has_nulls = True
        lists = [keys or [None] * columns.count for keys in lists]
    return ReadKeys(lists, has_nulls, columns.count)
