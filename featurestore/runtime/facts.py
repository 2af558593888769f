"""Facts that readiness is judged by: how far each source reaches, which markers exist, what parents cover."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, SourceInput, StoredViewNode, ViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.spec.source import Marker, Watermark

__all__ = ["batch_sources", "marker_exists", "parent_coverage", "source_watermark"]


def batch_sources(context: RuntimeContext, view: StoredViewNode) -> Mapping[str, FileSourceNode | DeltaSourceNode]:
    """Give the raw sources that a view reads, by name; a push source stands for its batch source."""
    found: dict[str, FileSourceNode | DeltaSourceNode] = {}
    if not isinstance(view, ViewNode):
        return found
    for entry in view.inputs:
        if not isinstance(entry, SourceInput):
            continue
        source = context.manifest.sources[entry.source]
        batch = getattr(source, "batch_source", None)
        resolved = context.manifest.sources[batch] if batch else source
        if isinstance(resolved, FileSourceNode | DeltaSourceNode):
            found[resolved.name] = resolved
    return found


def parent_coverage(context: RuntimeContext, view: StoredViewNode) -> Mapping[str, Coverage]:
    """Give the coverage of every view that ``view`` reads and that has a schedule."""
    parents = [context.manifest.stored_view(name) for name in context.manifest.parents(view)]
    return {p.name: context.ledger.coverage(p.name, p.version) for p in parents if p.schedule is not None}


def marker_exists(context: RuntimeContext, ready: Marker, interval: Interval) -> bool:
    path = context.settings.absolute(ready.pattern.format(start=interval.start, end=interval.end))
    if "://" not in path:
        return Path(path).exists()
    from pyarrow import fs

    filesystem, inner = fs.FileSystem.from_uri(path)
    return bool(filesystem.get_file_info(inner).type != fs.FileType.NotFound)


def source_watermark(context: RuntimeContext, source: FileSourceNode | DeltaSourceNode) -> datetime | None:
    """Read the greatest timestamp of a source that says ``ready=watermark()``; None where none is needed."""
    if not isinstance(source.ready, Watermark) or source.timestamp_field is None:
        return None
    greatest: datetime | None = context.engine.greatest_timestamp(source)
    return greatest
