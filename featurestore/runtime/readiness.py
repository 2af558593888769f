"""Gather the facts of one step and ask the plan whether it is ready."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyarrow import fs

from featurestore.filesystems import open_files
from featurestore.intervals import EPOCH, Interval
from featurestore.ir.nodes import Aggregations, FunctionTransformation, SqlTransformation, StoredViewNode, ViewNode
from featurestore.plan.readiness import Facts, check_readiness, raw_sources
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
    start = _looks_back_to(view, interval)
    if start is None or start >= interval.start:
        return ()
    behind = Interval(start, interval.start)
    latest = {run.interval: run for run in context.ledger.runs(view.name, view.version, behind)}
    refused = [str(run.interval) for run in latest.values() if run.state is RunState.REFUSED]
    return tuple(
        f"{view.name}: {step} was refused by the gate; its rows are in this step's windows" for step in refused
    )


def _looks_back_to(view: StoredViewNode, interval: Interval) -> datetime | None:
    """Give the earliest instant whose rows the step reads; None when it reads its own interval alone."""
    if not isinstance(view, ViewNode):
        return None
    match view.transformation:
        case Aggregations():
            longest = view.longest_window
            return EPOCH if longest is None else interval.start - longest
        case (
            SqlTransformation(lookback=timedelta() as lookback)
            | FunctionTransformation(lookback=timedelta() as lookback)
        ):
            return interval.end - lookback
        case _:
            return None


def _marker_exists(context: RuntimeContext, ready: Marker, interval: Interval) -> bool:
    path = context.settings.absolute(ready.pattern.format(start=interval.start, end=interval.end))
    filesystem, inner = open_files(path)
    return bool(filesystem.get_file_info(inner).type != fs.FileType.NotFound)
