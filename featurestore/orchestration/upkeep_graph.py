"""The DAG that keeps up the offline tables: one task a view, carried by few submits, on a schedule of its own."""

from __future__ import annotations

from featurestore.errors import SettingsError
from featurestore.intervals import EPOCH
from featurestore.ir.manifest import Manifest
from featurestore.ir.schedule import parse_schedule
from featurestore.orchestration.graph import (
    SUBMIT_GROUP,
    DagGraph,
    GateTask,
    Stage,
    SubmitTask,
    ViewGroup,
    ViewTask,
)
from featurestore.settings import CONFIG_FILE

__all__ = ["OFF", "upkeep_graphs"]

OFF = "off"


def upkeep_graphs(manifest: Manifest, *, schedule: str, views_per_submit: int) -> tuple[DagGraph, ...]:
    """Give the upkeep DAG; none where it is off, or where there is no view.

    Its tasks have no window, wait for no view and update no asset: a run missed is not made up for.
    """
    views = tuple(manifest.stored_views())
    if schedule == OFF or not views:
        return ()
    try:
        grid = parse_schedule(schedule)
    except ValueError as error:
        raise SettingsError(f"{CONFIG_FILE}: upkeep: schedule: {error}, and {OFF!r} for none") from error
    submits: list[SubmitTask | GateTask] = []
    carrier: dict[str, str] = {}
    size = max(views_per_submit, 1)
    for number, first in enumerate(range(0, len(views), size), 1):
        chunk = tuple(view.name for view in views[first : first + size])
        if len(chunk) > 1:
            submit = f"{SUBMIT_GROUP}.{Stage.OPTIMIZE}_{number}"
            submits += [
                SubmitTask(id=submit, stage=Stage.OPTIMIZE, views=chunk),
                GateTask(id=f"{submit}_over", after=(submit,)),
            ]
            carrier.update(dict.fromkeys(chunk, submit))
    groups = []
    for view in views:
        submit_of = carrier.get(view.name)
        task = ViewTask(
            id=f"{view.name}.{Stage.OPTIMIZE}",
            stage=Stage.OPTIMIZE,
            view=view.name,
            after=(f"{submit_of}_over",) if submit_of else (),
            submit=submit_of,
        )
        groups.append(ViewGroup(view=view.name, tasks=(task,), owner=view.owner, description=view.description))
    start = min((view.start for view in views if view.start), default=EPOCH)
    return (
        DagGraph(
            dag_id=f"{manifest.project}__upkeep",
            project=manifest.project,
            schedule=grid,
            start=start if grid.is_on_grid(start) else grid.next(start),
            groups=tuple(groups),
            submits=tuple(submits),
            catches_up=False,
        ),
    )
