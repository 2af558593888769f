"""The task graph: which DAGs a manifest gives, and the tasks and edges of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode
from featurestore.ir.schedule import PRESETS, CronSchedule, ScheduleNode

__all__ = [
    "SUBMIT_GROUP",
    "DagGraph",
    "GateTask",
    "Stage",
    "SubmitTask",
    "Task",
    "ViewGroup",
    "ViewTask",
    "asset_uri",
    "build_graphs",
]

SUBMIT_GROUP = "spark-submit"
"""The task group of carrying submits; no view can be named so."""


class Stage(StrEnum):
    """What a task does for its views; each is one job file."""

    MATERIALIZE = "materialize"
    PREDICT = "predict"
    PUBLISH = "publish"
    OPTIMIZE = "optimize"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitTask:
    """One spark-submit that carries several views; starts when ``after`` are over, however they ended."""

    id: str
    stage: Stage
    views: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTask:
    """Succeeds when ``after`` are over, however they ended; the scheduler itself passes it, no worker runs."""

    id: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewTask:
    """One stage of one view: takes its result from ``submit``, or submits for itself; needs ``after`` to succeed.

    ``outlet`` is the asset that the view's last task updates, ``inlets`` those of input views with another schedule.
    """

    id: str
    stage: Stage
    view: str
    after: tuple[str, ...] = ()
    submit: str | None = None
    outlet: str | None = None
    inlets: tuple[str, ...] = ()


Task: TypeAlias = SubmitTask | GateTask | ViewTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewGroup:
    view: str
    tasks: tuple[ViewTask, ...]
    owner: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DagGraph:
    """One DAG: ``start`` is on the schedule's grid; ``submits`` alternate with the gates behind them.

    Without ``catches_up`` runs that were missed are left out, whatever the settings say.
    """

    dag_id: str
    project: str
    schedule: ScheduleNode
    start: datetime
    groups: tuple[ViewGroup, ...]
    submits: tuple[SubmitTask | GateTask, ...] = ()
    catches_up: bool = True

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(group.view for group in self.groups)

    def tasks(self) -> Iterator[Task]:
        """Give all tasks: submits and gates first, then views in the order of their inputs."""
        yield from self.submits
        for group in self.groups:
            yield from group.tasks


def asset_uri(project: str, view: str) -> str:
    """Name the asset that an interval of the view updates."""
    return f"featurestore://{project}/{view}"


def build_graphs(
    manifest: Manifest, *, views_per_submit: int, one_dag_per_schedule: bool = False
) -> tuple[DagGraph, ...]:
    """Group the scheduled views into DAGs: the same schedule, and connected by inputs or, if asked for, all of it.

    A view without schedule or start has no tasks. Sorted by DAG id.
    """
    scheduled = {view.name: view for view in manifest.stored_views() if view.schedule and view.start}
    if one_dag_per_schedule:
        by_schedule: dict[str, list[StoredViewNode]] = {}
        for view in scheduled.values():
            by_schedule.setdefault(str(view.schedule), []).append(view)
        components = list(by_schedule.values())
    else:
        components = _components(manifest, scheduled)
    graphs = [_dag(manifest, views, views_per_submit, is_whole=one_dag_per_schedule) for views in components]
    return tuple(sorted(graphs, key=lambda graph: graph.dag_id))


def _components(manifest: Manifest, scheduled: dict[str, StoredViewNode]) -> list[list[StoredViewNode]]:
    """Split views into components over same-schedule input edges; inputs stay before their readers."""
    leader = {name: name for name in scheduled}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for view in scheduled.values():
        for parent in manifest.parents(view):
            if parent in scheduled and scheduled[parent].schedule == view.schedule:
                leader[find(view.name)] = find(parent)
    components: dict[str, list[StoredViewNode]] = {}
    for name, view in scheduled.items():
        components.setdefault(find(name), []).append(view)
    return list(components.values())


def _dag(manifest: Manifest, views: list[StoredViewNode], views_per_submit: int, *, is_whole: bool) -> DagGraph:
    plan = _Plan(manifest, views)
    if views_per_submit > 1:
        plan.carry_compute(views_per_submit)
        plan.carry_publication()
    schedule, start = views[0].schedule, min(view.start for view in views if view.start)
    assert schedule is not None  # build_graphs keeps scheduled views only
    names = [manifest.project, _slug(schedule), *([] if is_whole else [_anchor(plan)])]
    return DagGraph(
        dag_id="__".join(names),
        project=manifest.project,
        schedule=schedule,
        start=start if schedule.is_on_grid(start) else schedule.next(start),
        groups=tuple(plan.group(view) for view in views),
        submits=tuple(plan.submits),
    )


@dataclass(slots=True)
class _Plan:
    """Collects the submits of one DAG, then gives each view its tasks."""

    manifest: Manifest
    views: Sequence[StoredViewNode]
    submits: list[SubmitTask | GateTask] = field(default_factory=list)
    carrier: dict[tuple[str, Stage], str] = field(default_factory=dict)

    def parents(self, view: StoredViewNode) -> list[StoredViewNode]:
        """Give the inputs that are views of the same DAG."""
        names = self.manifest.parents(view)
        return [other for other in self.views if other.name in names]

    def carry_compute(self, size: int) -> None:
        """Fill submits of one stage and level; a level grows where rows pass from one stage to the other.

        So no submit waits for a task that waits for the same submit, even where a feature view reads predictions.
        """
        levels: dict[tuple[int, Stage], list[StoredViewNode]] = {}
        level: dict[str, int] = {}
        for view in self.views:
            crossed = [level[parent.name] + (_stage(parent) != _stage(view)) for parent in self.parents(view)]
            level[view.name] = max(crossed, default=0)
            levels.setdefault((level[view.name], _stage(view)), []).append(view)
        numbers = dict.fromkeys(Stage, 0)
        for (_, stage), members in levels.items():
            for first in range(0, len(members), size):
                chunk = members[first : first + size]
                numbers[stage] += 1
                waits = [p for view in chunk for p in self.parents(view) if p not in chunk]
                self._submit(stage, numbers[stage], chunk, (_task_id(parent) for parent in waits))

    def carry_publication(self) -> None:
        """Publish the whole DAG by one submit, after all its computations: features first, then predictions."""
        online = [view for view in self.views if _is_online(view)]
        self._submit(Stage.PUBLISH, 1, online, (_task_id(view) for view in self.views))

    def _submit(self, stage: Stage, number: int, views: Sequence[StoredViewNode], after: Iterable[str]) -> None:
        if len(views) < 2:
            return
        submit = f"{SUBMIT_GROUP}.{stage}_{number}"
        names = tuple(view.name for view in views)
        self.submits.append(SubmitTask(id=submit, stage=stage, views=names, after=tuple(dict.fromkeys(after))))
        self.submits.append(GateTask(id=f"{submit}_over", after=(submit,)))
        self.carrier.update({(name, stage): submit for name in names})

    def group(self, view: StoredViewNode) -> ViewGroup:
        asset, parents = asset_uri(self.manifest.project, view.name), self.parents(view)
        elsewhere = set(self.manifest.parents(view)) - {parent.name for parent in parents}
        compute = self._view_task(
            view,
            _stage(view),
            after=[_task_id(parent) for parent in parents],
            inlets=tuple(asset_uri(self.manifest.project, name) for name in sorted(elsewhere)),
            outlet=None if _is_online(view) else asset,
        )
        tasks = [compute]
        if _is_online(view):
            after = [compute.id]
            if isinstance(view, PredictionViewNode) and (view.name, Stage.PUBLISH) not in self.carrier:
                after += [_task_id(parent, Stage.PUBLISH) for parent in parents if _is_online(parent)]
            tasks.append(self._view_task(view, Stage.PUBLISH, after=after, outlet=asset))
        return ViewGroup(view=view.name, tasks=tuple(tasks), owner=view.owner, description=view.description)

    def _view_task(
        self,
        view: StoredViewNode,
        stage: Stage,
        *,
        after: list[str],
        outlet: str | None,
        inlets: tuple[str, ...] = (),
    ) -> ViewTask:
        submit = self.carrier.get((view.name, stage))
        gate = [f"{submit}_over"] if submit else []
        return ViewTask(
            id=_task_id(view, stage),
            stage=stage,
            view=view.name,
            after=(*gate, *after),
            submit=submit,
            outlet=outlet,
            inlets=inlets,
        )


def _stage(view: StoredViewNode) -> Stage:
    return Stage.PREDICT if isinstance(view, PredictionViewNode) else Stage.MATERIALIZE


def _is_online(view: StoredViewNode) -> bool:
    return isinstance(view, PredictionViewNode) or view.online


def _task_id(view: StoredViewNode, stage: Stage | None = None) -> str:
    return f"{view.name}.{stage or _stage(view)}"


def _anchor(plan: _Plan) -> str:
    """Name the DAG after its oldest view without inputs in the DAG (by start, then name): it rarely changes."""
    roots = [view for view in plan.views if not plan.parents(view)]
    return min((view.start, view.name) for view in roots if view.start)[1]


def _slug(schedule: ScheduleNode) -> str:
    """Write a schedule as part of a DAG id; different schedules have different slugs."""
    if not isinstance(schedule, CronSchedule):
        return re.sub(r"\W+", "_", str(schedule))
    presets = {expression: name.removeprefix("@") for name, expression in PRESETS.items()}
    if schedule.expression in presets:
        return presets[schedule.expression]
    words = {"*": "any", "/": "per", ",": "and", "-": "to", "#": "nth", " ": "_"}
    return "cron_" + "".join(words.get(letter, letter) for letter in schedule.expression)
