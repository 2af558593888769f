"""Source rows as events of an entity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, ViewNode

__all__ = ["EventSourceNode", "Events", "Key", "SourceEvent", "events_by_key", "queried_events"]

Key: TypeAlias = tuple[Any, ...]
EventSourceNode: TypeAlias = FileSourceNode | DeltaSourceNode


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    timestamp: datetime
    created: datetime | None
    columns: Mapping[str, Any]


Events: TypeAlias = Mapping[Key, list[SourceEvent]]


def queried_events(view: ViewNode, rows: Iterable[Mapping[str, Any]]) -> Events:
    """Sort the rows that a view's query makes to the keys they are about; they have the times' names in tables."""
    events: dict[Key, list[SourceEvent]] = {}
    for row in rows:
        key = tuple(row[field.name] for field in view.join_keys)
        if None not in key:
            event = SourceEvent(timestamp=row[EVENT_TIMESTAMP], created=row.get(CREATED_TIMESTAMP), columns=row)
            events.setdefault(key, []).append(event)
    return events


def events_by_key(view: ViewNode, source: EventSourceNode, rows: Iterable[Mapping[str, Any]]) -> Events:
    """Sort rows to the keys they are about; a row with a null in its key, or without a time, is about none."""
    if source.timestamp_field is None:
        raise ValueError(f"source {source.name!r} has no timestamp_field: its rows are no events")
    events: dict[Key, list[SourceEvent]] = {}
    for row in rows:
        key = tuple(row[field.name] for field in view.join_keys)
        timestamp = row[source.timestamp_field]
        if None in key or timestamp is None:
            continue
        created = None if source.created_timestamp_column is None else row[source.created_timestamp_column]
        events.setdefault(key, []).append(SourceEvent(timestamp=timestamp, created=created, columns=row))
    return events
