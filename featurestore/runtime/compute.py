"""One step of a feature view: readiness, pinned inputs, and the engine's rows under the run protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featurestore.engines.base import ComputedStep, ComputeRequest, SourcePin
from featurestore.errors import InputNotReady
from featurestore.intervals import Interval
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.plan.readiness import raw_sources
from featurestore.plan.stages import ComputeStage
from featurestore.runtime.code import code_of, ship_code
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.readiness import wait_reasons
from featurestore.runtime.results import IntervalResult
from featurestore.runtime.run import run_interval
from featurestore.stores.base import Claim

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["compute_interval", "pinned_parents", "refuse_unready"]


def compute_interval(context: RuntimeContext, stage: ComputeStage) -> IntervalResult:
    """Compute, check and commit one step; InputNotReady says what it waits for."""
    view = context.manifest.views[stage.view]
    refuse_unready(context, view, stage.interval)
    ship_code(context, code_of(view, context.manifest))
    pins = _pin_sources(context, view)
    inputs: dict[str, Any] = {
        "sources": {name: dict(pin.state) for name, pin in pins.items()},
        "views": pinned_parents(context, view),
    }

    def compute(claim: Claim) -> ComputedStep[DataFrame]:
        return context.engine.compute(
            ComputeRequest(view=view, interval=stage.interval, first=stage.first, created=claim.created, pins=pins)
        )

    return run_interval(context, view, stage.interval, inputs=inputs, compute=compute, repair=stage.repair)


def refuse_unready(context: RuntimeContext, view: StoredViewNode, interval: Interval) -> None:
    """Raise InputNotReady with every reason why the step cannot be computed yet."""
    reasons = wait_reasons(context, view, interval)
    if reasons:
        raise InputNotReady(
            f"{view.name} {interval} is not ready: {'; '.join(reasons)}", view=view.name, reasons=list(reasons)
        )


def pinned_parents(context: RuntimeContext, view: StoredViewNode) -> Mapping[str, Any]:
    """Give the Delta version of every input view's table."""
    parents = [context.manifest.stored_view(name) for name in context.manifest.parents(view)]
    return {p.name: {"version": p.version, "delta_version": context.offline.latest_version(p)} for p in parents}


def _pin_sources(context: RuntimeContext, view: ViewNode) -> Mapping[str, SourcePin]:
    return {source.name: context.engine.pin(source) for source in raw_sources(context.manifest, view)}
