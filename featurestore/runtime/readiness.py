"""Gather the facts of one step and ask the plan whether it is ready."""

from __future__ import annotations

from pyarrow import fs

from featurestore.filesystems import open_files
from featurestore.intervals import Interval
from featurestore.ir.nodes import StoredViewNode
from featurestore.plan.readiness import Facts, check_readiness, looks_back_to, raw_sources
from featurestore.runtime.context import RuntimeContext
from featurestore.spec.source import Marker, Watermark
from featurestore.stores.base import RunState
from featurestore.stores.source_bounds import greatest_timestamp

__all__ = ["gather_facts", "wait_reasons"]


def wait_reasons(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> tuple[str, ...]:
    """Say what a step waits for; empty when it is ready. Starts no Spark."""
    facts = gather_facts(context, view, interval)
    waits = check_readiness(context.manifest, view, interval, facts).waits_for
    return (*map(str, waits), *_refused_behind(context, view, interval))


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
        markers={
            source.name: _marker_exists(context, source.ready, interval)
            for source in sources
            if isinstance(source.ready, Marker)
        },
        coverages={parent.name: context.ledger.coverage(parent.name, parent.version) for parent in parents},
    )


def _refused_behind(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> tuple[str, ...]:
    """Name refused steps whose rows this step's windows still hold: they would get past the gate that way."""
    start = looks_back_to(view, interval)
    if start >= interval.start:
        return ()
    behind = Interval(start, interval.start)
    latest = {run.interval: run for run in context.ledger.runs(view.name, view.version, behind)}
    refused = [str(run.interval) for run in latest.values() if run.state is RunState.REFUSED]
    return tuple(
        f"{view.name}: {step} was refused by the gate; its rows are in this step's windows" for step in refused
    )


def _marker_exists(context: RuntimeContext, ready: Marker, interval: Interval) -> bool:
    path = context.settings.absolute(ready.pattern.format(start=interval.start, end=interval.end))
    filesystem, inner = open_files(path)
    return bool(filesystem.get_file_info(inner).type != fs.FileType.NotFound)
