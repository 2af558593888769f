"""Compiled sources, and the typed columns that all nodes are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from featurestore.spec.dtypes import DType
from featurestore.spec.source import After, Ready

__all__ = [
    "DeltaSourceNode",
    "FieldNode",
    "FileSourceNode",
    "KafkaSourceNode",
    "PushSourceNode",
    "RequestSourceNode",
    "SourceNode",
]

_AT_ONCE = After()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNode:
    name: str
    dtype: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSourceNode:
    """``schema`` has all columns under the names used in views (``field_mapping`` applied)."""

    name: str
    path: str
    format: Literal["parquet", "csv", "json"]
    timestamp_field: str
    created_timestamp_column: str | None = None
    schema: tuple[FieldNode, ...]
    field_mapping: tuple[tuple[str, str], ...] = ()
    ready: Ready = _AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSourceNode:
    """A dimension has no ``timestamp_field``."""

    name: str
    path: str | None = None
    table: str | None = None
    query: str | None = None
    timestamp_field: str | None = None
    created_timestamp_column: str | None = None
    schema: tuple[FieldNode, ...]
    field_mapping: tuple[tuple[str, str], ...] = ()
    ready: Ready = _AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSourceNode:
    name: str
    batch_source: str | None
    schema: tuple[FieldNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSourceNode:
    name: str
    bootstrap_servers: str
    topic: str
    format: str
    timestamp_field: str
    watermark: timedelta
    batch_source: str | None
    schema: tuple[FieldNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSourceNode:
    name: str
    schema: tuple[FieldNode, ...]


SourceNode: TypeAlias = FileSourceNode | DeltaSourceNode | PushSourceNode | KafkaSourceNode | RequestSourceNode
