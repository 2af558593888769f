"""From what a caller asks for to planned stages, and their execution."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from featurestore.errors import ExitCode, SettingsError
from featurestore.intervals import EPOCH, Interval, show_instant
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.plan.chunks import steps_per_run
from featurestore.plan.cost import StepCost, step_cost
from featurestore.plan.stages import PublishStage, RepairStage, Stage, build_stages
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.execute import Progress, execute, silent
from featurestore.runtime.publish_keys import EntityRows, publish_keys
from featurestore.runtime.results import JobResult, ViewResult
from featurestore.runtime.run import recover

__all__ = [
    "WorkOptions",
    "bounds_of",
    "plan_request",
    "run_key_publication",
    "run_publication",
    "run_repair",
    "run_request",
    "step_costs",
    "with_parents",
]


def bounds_of(start: datetime, end: datetime) -> Interval:
    """Give the range; SettingsError where it ends before it starts."""
    try:
        return Interval(start, end)
    except ValueError as error:
        raise SettingsError(
            f"the range starts at {show_instant(start)}, after its end {show_instant(end)}; "
            "give the earlier instant first (the end itself is not in the range)"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """How missing steps are done.

    ``repair``: done ones are done again; ``everything``: predictions of all entities. ``steps_per_run`` steps of a
    feature view are computed at once (None: chosen by what they took before), ``parallel`` such runs side by side.
    """

    repair: bool = False
    everything: bool = False
    steps_per_run: int | None = None
    parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("steps_per_run", "parallel"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; valid is 1 or more")


def plan_request(
    context: RuntimeContext, views: Iterable[str], bounds: Interval, options: WorkOptions | None = None
) -> tuple[Stage, ...]:
    """Plan the missing steps of ``views`` inside ``bounds``; the Delta logs are asked first what is really done."""
    names, options = list(views), options or WorkOptions()
    manifest = context.manifest
    for name in names:
        recover(context, manifest.stored_view(name))
    costs = step_costs(context, names)
    coverages = {v.name: context.ledger.coverage(v.name, v.version) for v in manifest.stored_views()}
    return build_stages(
        manifest,
        names,
        bounds,
        coverages,
        repair=options.repair,
        everything=options.everything,
        steps_per_run={
            name: steps_per_run(manifest.stored_view(name), costs[name], options.steps_per_run) for name in names
        },
    )


def step_costs(context: RuntimeContext, views: Iterable[str]) -> Mapping[str, StepCost | None]:
    """Give what a step of each view took in earlier runs, of its version or else of the newest one before."""
    versions = {name: range(context.manifest.stored_view(name).version, 0, -1) for name in views}
    costs = {name: (step_cost(context.ledger.runs(name, version)) for version in versions[name]) for name in versions}
    return {name: next((cost for cost in found if cost is not None), None) for name, found in costs.items()}


def run_request(
    context: RuntimeContext,
    views: Sequence[str] | None,
    bounds: Interval,
    options: WorkOptions | None = None,
    *,
    parents: bool = False,
    progress: Progress | None = None,
) -> JobResult:
    """Compute and publish the missing steps of ``views`` (all by default; with ``parents``, what they read too)."""
    options = options or WorkOptions()
    ordered = _in_order(context, with_parents(context, views) if parents and views is not None else views)
    stages = plan_request(context, ordered, bounds, options)
    costs = step_costs(context, ordered)
    return execute(context, stages, views=ordered, progress=progress or silent, costs=costs, parallel=options.parallel)


def run_repair(
    context: RuntimeContext,
    view: str,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    progress: Progress | None = None,
) -> JobResult:
    """Repair and publish what changed in a view's inputs, however old; with a bound, all covered steps inside."""
    node = context.manifest.stored_view(view)
    if start is not None or end is not None:
        bounds = bounds_of(start or node.start or EPOCH, end or context.clock())
        return run_request(context, [view], bounds, WorkOptions(repair=True), progress=progress)
    if not isinstance(node, ViewNode):
        raise SettingsError(
            f"{view!r} is a prediction view: its next step scores what changed; to score steps again give --from and "
            "--until",
            view=view,
        )
    recover(context, node)
    stages: list[Stage] = [RepairStage(view=view, everything=True)]
    stages += [PublishStage(view=view)] if node.online else []
    return execute(context, stages, views=[view], progress=progress or silent)


def run_publication(
    context: RuntimeContext, views: Sequence[str] | None, *, progress: Progress | None = None
) -> JobResult:
    """Publish views (all by default), features before predictions; FeatureNotFound names one that is not there."""
    ordered = _in_order(context, views)
    stages = [PublishStage(view=name) for name in ordered]
    return execute(context, stages, views=ordered, progress=progress or silent)


def run_key_publication(context: RuntimeContext, view: str, entity_rows: EntityRows) -> JobResult:
    """Publish the table's answers for some entities of one view, over tombstones too."""
    started = time.monotonic()
    published = publish_keys(context, context.manifest.stored_view(view), entity_rows)
    outcome = ExitCode.DONE if published.sent else ExitCode.NOTHING_TO_DO
    seconds = time.monotonic() - started
    return JobResult(views=(ViewResult(view=view, outcome=outcome, published=published, seconds=seconds),))


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


def _in_order(context: RuntimeContext, views: Iterable[str] | None) -> list[str]:
    """Give the named views (all by default), inputs before those that read them; FeatureNotFound for an unknown one."""
    every = [view.name for view in context.manifest.stored_views()]
    if views is None:
        return every
    wanted = {context.manifest.stored_view(name).name for name in views}
    return [name for name in every if name in wanted]
