"""From what a caller asks for to planned stages, and their execution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featurestore.intervals import Interval
from featurestore.ir.nodes import StoredViewNode
from featurestore.plan.stages import PublishStage, Stage, build_stages
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.execute import Progress, execute, silent
from featurestore.runtime.results import JobResult
from featurestore.runtime.run import recover

__all__ = ["plan_request", "run_publication", "run_request", "with_parents"]


def plan_request(
    context: RuntimeContext, views: Iterable[str], bounds: Interval, *, repair: bool = False
) -> tuple[Stage, ...]:
    """Plan the missing steps of ``views`` inside ``bounds``; the Delta logs are asked first what is really done."""
    names = list(views)
    manifest = context.manifest
    for name in names:
        recover(context, manifest.stored_view(name))
    coverages = {v.name: context.ledger.coverage(v.name, v.version) for v in manifest.stored_views()}
    return build_stages(manifest, names, bounds, coverages, repair=repair)


def run_request(
    context: RuntimeContext,
    views: Sequence[str] | None,
    bounds: Interval,
    *,
    repair: bool = False,
    parents: bool = False,
    progress: Progress | None = None,
) -> JobResult:
    """Compute and publish the missing steps of ``views`` (all by default; with ``parents``, what they read too)."""
    manifest = context.manifest
    wanted = set(views) if views is not None else {view.name for view in manifest.stored_views()}
    for name in wanted:
        manifest.stored_view(name)
    if parents:
        wanted = with_parents(context, wanted)
    ordered = [view.name for view in manifest.stored_views() if view.name in wanted]
    stages = plan_request(context, ordered, bounds, repair=repair)
    return execute(context, stages, views=ordered, progress=progress or silent)


def run_publication(
    context: RuntimeContext, views: Sequence[str] | None, *, progress: Progress | None = None
) -> JobResult:
    """Publish views (all by default), features before predictions; FeatureNotFound names one that is not there."""
    manifest = context.manifest
    wanted = set(views) if views is not None else {view.name for view in manifest.stored_views()}
    for name in wanted:
        manifest.stored_view(name)
    ordered = [view.name for view in manifest.stored_views() if view.name in wanted]
    stages = [PublishStage(view=name) for name in ordered]
    return execute(context, stages, views=ordered, progress=progress or silent)


def with_parents(context: RuntimeContext, views: Iterable[str]) -> set[str]:
    """Add the views that the given ones read, and those that these read."""
    found: set[str] = set()
    todo: list[StoredViewNode] = [context.manifest.stored_view(name) for name in views]
    while todo:
        view = todo.pop()
        if view.name not in found:
            found.add(view.name)
            todo += [context.manifest.stored_view(name) for name in context.manifest.parents(view)]
    return found
