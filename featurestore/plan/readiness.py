"""Whether a step can be computed now, and what it waits for if not: a function of gathered facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from featurestore.intervals import Coverage, Interval, show_duration, show_instant
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    DeltaSourceNode,
    FileSourceNode,
    KafkaSourceNode,
    PushSourceNode,
    RequestSourceNode,
    SourceInput,
    StoredViewNode,
    ViewNode,
)
from featurestore.ir.windows import looks_back_to
from featurestore.plan.missing import first_step
from featurestore.spec.source import After, Marker, Watermark

__all__ = ["Facts", "Readiness", "Wait", "check_readiness", "raw_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the world says about one step.

    By source name: ``watermarks``, how far a ``watermark()`` source reaches (None or absent: it holds nothing), and
    ``markers``, whether a ``marker()`` source's file for the step exists. ``coverages`` by input view.
    """

    now: datetime
    watermarks: Mapping[str, datetime | None] = field(default_factory=dict)
    markers: Mapping[str, bool] = field(default_factory=dict)
    coverages: Mapping[str, Coverage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One thing that a step waits for; ``until`` is when it ends, where that is known."""

    input: str
    reason: str
    until: datetime | None = None

    def __str__(self) -> str:
        return f"{self.input}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """A step is ready when it waits for nothing."""

    waits_for: tuple[Wait, ...] = ()

    @property
    def is_ready(self) -> bool:
        return not self.waits_for


def check_readiness(manifest: Manifest, view: StoredViewNode, interval: Interval, facts: Facts) -> Readiness:
    """Say whether the interval has ended, every raw source is complete at its end and every input view covers it."""
    waits: list[Wait] = []
    if facts.now < interval.end:
        waits.append(Wait(input=view.name, reason=f"the step ends at {show_instant(interval.end)}", until=interval.end))
    for source in raw_sources(manifest, view):
        waits += _source_waits(source, interval, facts)
    for name in manifest.parents(view):
        waits += _parent_waits(manifest.stored_view(name), _read_of_parents(view, interval), facts)
    return Readiness(waits_for=tuple(waits))


def raw_sources(manifest: Manifest, view: StoredViewNode) -> tuple[FileSourceNode | DeltaSourceNode, ...]:
    """List the files and tables that a view reads; a push or stream source stands for its batch source."""
    if not isinstance(view, ViewNode):
        return ()
    found: dict[str, FileSourceNode | DeltaSourceNode] = {}
    for entry in view.inputs:
        if isinstance(entry, SourceInput):
            found |= {source.name: source for source in _batch(manifest, entry.source)}
    return tuple(found.values())


def _read_of_parents(view: StoredViewNode, interval: Interval) -> Interval:
    """Windows go over rows of input views as far back as they reach; everything else reads them as of the step."""
    is_aggregate = isinstance(view, ViewNode) and view.is_aggregate
    return Interval(looks_back_to(view, interval), interval.end) if is_aggregate else interval


def _batch(manifest: Manifest, name: str) -> Iterator[FileSourceNode | DeltaSourceNode]:
    source = manifest.sources[name]
    match source:
        case FileSourceNode() | DeltaSourceNode():
            yield source
        case PushSourceNode() | KafkaSourceNode():
            if source.batch_source is not None:
                yield from _batch(manifest, source.batch_source)
        case RequestSourceNode():
            return
        case _:
            assert_never(source)


def _source_waits(source: FileSourceNode | DeltaSourceNode, interval: Interval, facts: Facts) -> Iterator[Wait]:
    match source.ready:
        case After(delay=delay):
            complete = interval.end + delay
            if delay and facts.now < complete:
                reason = f"complete at {show_instant(complete)}, {show_duration(delay)} after the step's end"
                yield Wait(input=source.name, reason=reason, until=complete)
        case Watermark():
            reached = facts.watermarks.get(source.name)
            if source.timestamp_field is None or (reached is not None and reached >= interval.end):
                return
            holds = "holds no rows" if reached is None else f"holds rows up to {show_instant(reached)}"
            yield Wait(input=source.name, reason=f"{holds}, needs one at or after {show_instant(interval.end)}")
        case Marker(pattern=pattern):
            if not facts.markers.get(source.name, False):
                path = pattern.format(start=interval.start, end=interval.end)
                yield Wait(input=source.name, reason=f"{path} does not exist")
        case _:
            assert_never(source.ready)


def _parent_waits(parent: StoredViewNode, interval: Interval, facts: Facts) -> Iterator[Wait]:
    """A view without schedule is never waited for; before its first step there is nothing to cover."""
    if parent.schedule is None:
        return
    first = first_step(parent)
    needed = interval if first is None else Interval(min(max(interval.start, first.start), interval.end), interval.end)
    missing = facts.coverages.get(parent.name, Coverage()).missing(needed)
    if missing:
        parts = ", ".join(str(part) for part in missing)
        yield Wait(input=parent.name, reason=f"not computed yet for {parts}")
