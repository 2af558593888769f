"""Problems of sources."""

from __future__ import annotations

from datetime import timedelta

from featurestore.compile.report import Report, choices, unknown
from featurestore.compile.schemas import Schemas
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.spec.dtypes import Date, Timestamp, show_dtype
from featurestore.spec.source import (
    After,
    DeltaSource,
    FileSource,
    KafkaSource,
    Marker,
    PushSource,
    RequestSource,
    Source,
)

__all__ = ["check_source"]

_FORMATS = ("csv", "json", "parquet")
_TIMES = (Timestamp, Date)


def check_source(source: Source, schemas: Schemas, report: Report) -> None:
    """Check a source's options, and its columns where they could be read."""
    match source:
        case FileSource():
            if source.format not in _FORMATS:
                report.add(source, choices("format", source.format, _FORMATS))
            _check_batch(source, schemas, report)
        case DeltaSource():
            if (source.path is None) == (source.table is None):
                report.add(source, "give exactly one of path= and table=")
            if source.query is not None and "{table}" not in source.query:
                report.add(source, "query= does not read the table: write {table} where its name goes")
            _check_batch(source, schemas, report)
        case KafkaSource():
            report.add(
                source,
                "Kafka sources are not available in this release; use the topic's batch_source in a BatchFeatureView",
            )
        case PushSource():
            pass
        case RequestSource(schema=schema):
            if not schema:
                report.add(
                    source, "has no schema; name the request's values, such as schema=[Field(name=..., dtype=...)]"
                )
    names = [column.name for column in source.schema]
    for name in sorted({name for name in names if names.count(name) > 1}):
        report.add(source, f"column {name!r} is listed twice in schema=")


def _check_batch(source: FileSource | DeltaSource, schemas: Schemas, report: Report) -> None:
    match source.ready:
        case After(delay=delay) if delay < timedelta(0):
            report.add(
                source,
                f"ready=after({delay}) is negative; give the time after an interval's end when its rows are there",
            )
        case Marker(pattern=pattern) if "{start" not in pattern and "{end" not in pattern:
            report.add(
                source,
                f"ready=marker({pattern!r}) names the same file for all intervals; write {{start}} or {{end}} in it",
            )
        case _:
            pass
    node = schemas.sources.get(source.name)
    if not isinstance(node, FileSourceNode | DeltaSourceNode):
        return
    types = {column.name: column.dtype for column in node.schema}
    renamed = dict(source.field_mapping)
    for option in ("timestamp_field", "created_timestamp_column"):
        name = getattr(source, option)
        if name is None:
            continue
        if name not in types:
            hint = f". field_mapping renames it: write {renamed[name]!r}" if name in renamed else ""
            report.add(source, f"{option}: {unknown('column', name, types)}{hint}")
        elif types[name] not in _TIMES:
            report.add(
                source, f"{option}: column {name!r} has type {show_dtype(types[name])}; valid are timestamp and date"
            )
    for old, new in source.field_mapping.items():
        if new not in types:
            report.add(
                source,
                f"field_mapping: the source has no column {old!r} to call {new!r}; it has {', '.join(sorted(types))}",
            )
