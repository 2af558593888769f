"""Which views share tiles: where a tile table lies, and what its columns are called."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, TypeAlias

from featurestore.ir.nodes import AggregationNode, DeltaSourceNode, FileSourceNode, ViewNode
from featurestore.spec.dtypes import show_dtype

__all__ = [
    "BUILD",
    "EVENTS",
    "PART",
    "PARTIALS",
    "PERIOD",
    "SIZE",
    "TILE",
    "TILE_FOLDER",
    "TOTALS",
    "input_name",
    "tile_location",
]

PART, PARTIALS, TOTALS = "__part", "partials", "totals"
"""What a row of a tile table is about: partial aggregates of a tile, or of a whole window; or the input whose values
it counts.
"""
SIZE, TILE = "__size", "__tile"
"""A tile's length and start, in microseconds (since the epoch); a window's length (0: lifetime) and end."""
PERIOD = "__period"
"""The start of the longer range that the tile's file covers."""
BUILD = "__build"
"""The commit that the row came with: the table's log says which builds count."""
EVENTS = "__events"
"""How many events the tile has, whatever their values: the key is known from then on."""

TILE_FOLDER = "_tiles"
TILE_FORMAT = 1
"""Counts the changes of what tiles hold: tables of another format are never read."""

_Source: TypeAlias = FileSourceNode | DeltaSourceNode


def tile_location(view: ViewNode, source: _Source) -> str:
    """Name the tile table of a view's source and keys, under the offline store's root.

    Views share it whose tiles have the same rows behind them: same data, read in the same way, same keys.
    """
    keys = sorted(_column(source, key.name) for key in view.join_keys)
    identity: dict[str, Any] = {
        "format": TILE_FORMAT,
        "kind": type(source).__name__,
        "keys": keys,
        "path": source.path,
        "timestamp": _file_name(source, source.timestamp_field),
        "created": _file_name(source, source.created_timestamp_column),
    }
    if isinstance(source, DeltaSourceNode):
        identity |= {"table": source.table, "query": source.query}
    else:
        identity["files"] = source.format
    return f"{TILE_FOLDER}/{source.name}/{_digest(identity, 12)}"


def input_name(item: AggregationNode, source: _Source | None) -> str:
    """Name what an aggregation reads of each event: its column where its predicate holds.

    Two aggregations have one name iff they read the same; without ``source`` the column's own name has to do.
    """
    words = {word.casefold() for word in re.findall(r"\w+", item.where or "")} | {(item.column or "").casefold()}
    read = [] if source is None else [_column(source, c.name) for c in source.schema if c.name.casefold() in words]
    digest = _digest([item.column, item.where, sorted(read)], 8)
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', item.column or 'rows')}_{digest}"


def _column(source: _Source, name: str) -> list[str | None]:
    dtype = next((show_dtype(column.dtype) for column in source.schema if column.name == name), None)
    return [name, _file_name(source, name), dtype]


def _file_name(source: _Source, name: str | None) -> str | None:
    return next((original for original, renamed in source.field_mapping if renamed == name), name)


def _digest(identity: Any, length: int) -> str:
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
