"""Where raw rows come from, and when they are complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from featurestore.spec.entity import Field

__all__ = [
    "After",
    "BatchSource",
    "DeltaSource",
    "FileSource",
    "KafkaSource",
    "Marker",
    "PushSource",
    "Ready",
    "RequestSource",
    "Source",
    "Watermark",
    "after",
    "marker",
    "watermark",
]


@dataclass(frozen=True, slots=True)
class After:
    """Rows of an interval are complete this long after its end."""

    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Watermark:
    """Rows of an interval are complete when the source holds a row at or after its end."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Rows of an interval are complete when a file exists; ``pattern`` is formatted with ``start`` and ``end``."""

    pattern: str


Ready: TypeAlias = After | Watermark | Marker


def after(delay: timedelta = timedelta(0)) -> After:
    """Take the source as complete ``delay`` after an interval's end."""
    return After(delay)


def watermark() -> Watermark:
    """Take the source as complete up to its greatest timestamp."""
    return Watermark()


def marker(pattern: str) -> Marker:
    """Take an interval as complete when the file exists, such as ``"landing/{end:%Y-%m-%d}/_SUCCESS"``."""
    return Marker(pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Parquet, CSV or JSON files: one file, a folder, or an object-store address.

    CSV and JSON need ``schema``. ``field_mapping`` renames columns of the files to column names used in views.
    """

    name: str
    path: str
    timestamp_field: str
    format: str = "parquet"
    created_timestamp_column: str | None = None
    schema: Sequence[Field] = ()
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    ready: Ready = After()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSource:
    """A Delta table by ``path`` or by catalogue name ``table``; ``query`` may narrow it (``{table}`` stands for it).

    A dimension has no ``timestamp_field``: each run reads the snapshot it pins.
    """

    name: str
    path: str | None = None
    table: str | None = None
    query: str | None = None
    timestamp_field: str | None = None
    created_timestamp_column: str | None = None
    schema: Sequence[Field] = ()
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    ready: Ready = After()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSource:
    """Rows that a producer pushes; ``batch_source`` holds their history."""

    name: str
    batch_source: BatchSource | None = None
    schema: Sequence[Field] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSource:
    """A Kafka topic; ``batch_source`` holds its history."""

    name: str
    bootstrap_servers: str
    topic: str
    timestamp_field: str
    schema: Sequence[Field] = ()
    format: str = "json"
    watermark: timedelta = timedelta(minutes=5)
    batch_source: BatchSource | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSource:
    """Values that come with the lookup request."""

    name: str
    schema: Sequence[Field]
    description: str = ""


BatchSource: TypeAlias = FileSource | DeltaSource
Source: TypeAlias = FileSource | DeltaSource | PushSource | KafkaSource | RequestSource
