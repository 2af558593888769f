"""One step of a feature view: readiness, pinned inputs, and the engine's rows under the run protocol."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from featurestore.engines.base import ComputedStep, ComputeRequest, SourcePin
from featurestore.errors import InputNotReady
from featurestore.intervals import Interval
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.plan.missing import whole_steps
from featurestore.plan.readiness import raw_sources
from featurestore.plan.stages import ComputeStage
from featurestore.runtime.code import code_of, ship_code
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.readiness import reasons_by_step
from featurestore.runtime.results import IntervalResult
from featurestore.runtime.run import run_interval
from featurestore.runtime.tiles import standing_tiles, tiled_source
from featurestore.stores.base import Claim
from featurestore.stores.delta_log import DeltaLog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "Turn",
    "compute_interval",
    "compute_rows",
    "pin_sources",
    "pinned_inputs",
    "pinned_parents",
    "refuse_unready",
    "steps_of",
    "unready",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A run's place in a line of runs that are computed side by side and commit in order.

    It has come when ``before``, the end of the run in front, is set. ``follows`` is the instant at which that run ends
    and this one begins, None where there is a hole between them.
    """

    before: threading.Event
    follows: datetime | None


def compute_interval(context: RuntimeContext, stage: ComputeStage, turn: Turn | None = None) -> IntervalResult:
    """Compute, check and commit a run's steps, which are ready.

    While its ``turn`` has not come, the run takes for granted that the one in front will be done; when it has come and
    that one failed, the rows are computed once more, as the first of a stretch.
    """
    view = context.manifest.views[stage.view]
    ship_code(context, code_of(view, context.manifest))
    pins = pin_sources(context, view)
    inputs = pinned_inputs(context, view, pins)

    is_early = turn is not None and not turn.before.is_set()
    is_assumed = is_early and turn is not None and turn.follows == stage.interval.start

    def compute(claim: Claim) -> ComputedStep[DataFrame]:
        is_early_still = is_assumed and turn is not None and not turn.before.is_set()
        request: ComputeRequest[DataFrame] = ComputeRequest(
            view=view,
            interval=stage.interval,
            first=not is_early_still and not _follows(context, view, stage.interval),
            created=claim.created,
            pins=pins,
            restated=claim.is_repair,
        )
        return compute_rows(context, request)

    def confirm() -> bool:
        if turn is None:
            return True
        turn.before.wait()
        refuse_unready(context, view, steps_of(view, stage))
        return not is_assumed or _follows(context, view, stage.interval)

    return run_interval(
        context,
        view,
        stage.interval,
        inputs=inputs,
        compute=compute,
        repair=stage.repair,
        steps=stage.steps,
        confirm=confirm,
    )


def compute_rows(context: RuntimeContext, request: ComputeRequest[DataFrame]) -> ComputedStep[DataFrame]:
    """Compute a run's rows, from stored tiles where its view shares some: what they lack is built first.

    A repair of some keys reads their events instead: tiles are built for all keys, by the next step that needs them.
    """
    view, engine = request.view, context.engine
    source = tiled_source(view, context.manifest)
    if source is None or request.keys is not None:
        return engine.compute(request)
    pin = request.pins[source.name]
    stored = standing_tiles(view, source, request.interval, pin, engine=engine, tiles=context.tiles)
    return engine.compute(request, stored=stored)


def _follows(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> bool:
    """Say whether the step before the interval is done."""
    coverage = context.ledger.coverage(view.name, view.version)
    return any(stretch.start < interval.start <= stretch.end for stretch in coverage)


def refuse_unready(context: RuntimeContext, view: StoredViewNode, steps: Sequence[Interval]) -> None:
    """Raise InputNotReady with every reason why the first step that is not ready cannot be computed yet."""
    for step, reasons in reasons_by_step(context, view, steps).items():
        if reasons:
            raise unready(view, step, reasons)


def unready(view: StoredViewNode, step: Interval, reasons: Sequence[str]) -> InputNotReady:
    """Say what a step waits for."""
    return InputNotReady(
        f"{view.name} {step} is not ready: {'; '.join(reasons)}", view=view.name, reasons=list(reasons)
    )


def steps_of(view: StoredViewNode, stage: ComputeStage) -> tuple[Interval, ...]:
    """Give the steps of a run; a part of a step is one."""
    return whole_steps(view, stage.interval).steps if stage.steps > 1 else (stage.interval,)


def pinned_inputs(context: RuntimeContext, view: ViewNode, pins: Mapping[str, SourcePin]) -> Mapping[str, Any]:
    """Give what the ledger keeps of a run's inputs, as plain JSON."""
    sources = {name: dict(pin.state) for name, pin in pins.items()}
    return {"sources": sources, "views": pinned_parents(context, view)}


def pinned_parents(context: RuntimeContext, view: StoredViewNode) -> Mapping[str, Any]:
    """Give the Delta version of every input view's table; starts no Spark."""
    parents = [context.manifest.stored_view(name) for name in context.manifest.parents(view)]
    latest = {parent.name: DeltaLog(context.table_path(parent)).latest_version() for parent in parents}
    return {parent.name: {"version": parent.version, "delta_version": latest[parent.name]} for parent in parents}


def pin_sources(context: RuntimeContext, view: ViewNode) -> Mapping[str, SourcePin]:
    """Name the present state of each source that the view reads."""
    return {source.name: context.engine.pin(source) for source in raw_sources(context.manifest, view)}
