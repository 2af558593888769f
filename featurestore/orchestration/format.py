"""A task graph as text, for people and golden files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from featurestore.intervals import show_instant
from featurestore.orchestration.graph import DagGraph, GateTask, SubmitTask, Task, ViewTask

__all__ = ["show_graphs"]


def show_graphs(graphs: Iterable[DagGraph]) -> str:
    """Write each DAG with its tasks, one a line: ``task <- what it waits for``."""
    return "\n".join(_show_dag(graph) for graph in graphs)


def _show_dag(graph: DagGraph) -> str:
    lines = [f"{graph.dag_id}", f"  {graph.schedule} from {show_instant(graph.start)}"]
    lines += [f"  {line}" for task in graph.tasks() for line in _show_task(task)]
    return "\n".join(lines) + "\n"


def _show_task(task: Task) -> list[str]:
    match task:
        case SubmitTask():
            return [f"{task.id}{_arrow(task.after)}", f"  carries {', '.join(task.views)}"]
        case GateTask():
            return [f"{task.id}{_arrow(task.after)}"]
        case ViewTask():
            lines = [f"{task.id}{_arrow(task.after)}"]
            lines += [f"  reads {asset}" for asset in task.inlets]
            return lines + ([f"  updates {task.outlet}"] if task.outlet else [])
        case _:
            assert_never(task)


def _arrow(after: tuple[str, ...]) -> str:
    return f" <- {', '.join(after)}" if after else ""
