"""Gather the facts of one step and ask the plan whether it is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pyarrow import fs

from featurestore.filesystems import open_files
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, StoredViewNode
from featurestore.ir.windows import looks_back_to
from featurestore.plan.readiness import Facts, check_readiness, raw_sources
from featurestore.runtime.context import RuntimeContext
from featurestore.spec.source import Marker, Watermark
from featurestore.stores.base import RunState
from featurestore.stores.source_bounds import greatest_timestamp

__all__ = ["gather_facts", "reasons_by_step", "wait_reasons"]


def wait_reasons(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> tuple[str, ...]:
    """Say what a step waits for; empty when it is ready. Starts no Spark."""
    return reasons_by_step(context, view, [interval])[interval]


def reasons_by_step(
    context: RuntimeContext, view: StoredViewNode, steps: Sequence[Interval]
) -> dict[Interval, tuple[str, ...]]:
    """Say of each of some steps that follow each other, and would be one run, what it waits for. Starts no Spark."""
    facts = gather_facts(context, view, steps[0])
    markers = [source for source in raw_sources(context.manifest, view) if isinstance(source.ready, Marker)]
    reasons = {}
    for step in steps:
        if markers and step != steps[0]:
            facts = replace(facts, markers=_markers(context, markers, step))
        waits = check_readiness(context.manifest, view, step, facts).waits_for
        reasons[step] = (*map(str, waits), *_refused_behind(context, view, step, steps[0].start))
    return reasons


def gather_facts(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> Facts:
    """Look at the view's sources and at what its input views cover."""
    manifest = context.manifest
    sources = raw_sources(manifest, view)
    parents = [manifest.stored_view(name) for name in manifest.parents(view)]
    return Facts(
        now=context.clock(),
        watermarks={
            source.name: greatest_timestamp(source, context.settings.absolute)
            for source in sources
            if isinstance(source.ready, Watermark) and source.timestamp_field is not None
        },
        markers=_markers(context, sources, interval),
        coverages={parent.name: context.ledger.coverage(parent.name, parent.version) for parent in parents},
    )


def _refused_behind(
    context: RuntimeContext, view: StoredViewNode, interval: Interval, before: datetime
) -> tuple[str, ...]:
    """Name refused steps before an instant whose rows the step still reads: they would get past the gate that way."""
    start = looks_back_to(view, interval)
    if start >= before:
        return ()
    behind = Interval(start, before)
    runs = context.ledger.runs(view.name, view.version, behind)
    latest = {run.interval: run for run in runs}
    missing = Coverage.of(Coverage.of(r.interval for r in runs if r.state is RunState.DONE).missing(behind))
    refused = [
        str(run.interval)
        for run in latest.values()
        if run.state is RunState.REFUSED and any(run.interval.intersect(part) for part in missing)
    ]
    return tuple(
        f"{view.name}: {step} was refused by the gate; its rows are in this step's windows" for step in refused
    )


def _markers(
    context: RuntimeContext, sources: Sequence[FileSourceNode | DeltaSourceNode], interval: Interval
) -> Mapping[str, bool]:
    return {
        source.name: _marker_exists(context, source.ready, interval)
        for source in sources
        if isinstance(source.ready, Marker)
    }


def _marker_exists(context: RuntimeContext, ready: Marker, interval: Interval) -> bool:
    path = context.settings.absolute(ready.pattern.format(start=interval.start, end=interval.end))
    filesystem, inner = open_files(path)
    return bool(filesystem.get_file_info(inner).type != fs.FileType.NotFound)
