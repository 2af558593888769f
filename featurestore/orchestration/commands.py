"""From a task to the command line of its job; ``spark-submit`` itself is resolved where the task runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from featurestore.embedded.spark_profile import packaged_jobs
from featurestore.intervals import Interval, show_instant
from featurestore.orchestration.graph import Stage, SubmitTask, ViewTask
from featurestore.settings import Settings

__all__ = ["END", "START", "carried_views", "fill_window", "job_arguments"]

START, END = "{start}", "{end}"
"""Placeholders of the data interval, which is known only when the task runs."""


def carried_views(task: SubmitTask | ViewTask) -> tuple[str, ...]:
    """Name the views of the task's own submit."""
    return task.views if isinstance(task, SubmitTask) else (task.view,)


def job_arguments(stage: Stage, views: Iterable[str], *, settings: Settings) -> tuple[str, ...]:
    """Give what follows ``spark-submit`` and its own options: the job file and its arguments.

    Publication has no window: it sends what was appended since its marker. Upkeep has none either. A job file that the
    repo does not have is the one that ships with the package.
    """
    window = () if stage in (Stage.PUBLISH, Stage.OPTIMIZE) else ("--start", START, "--end", END)
    named = (argument for view in views for argument in ("--view", view))
    return (str(_job_file(stage, settings.repo)), "--repo", str(settings.repo), *window, *named)


def _job_file(stage: Stage, repo: Path) -> Path:
    own = repo / "jobs" / f"{stage}.py"
    return own if own.is_file() else packaged_jobs() / own.name


def fill_window(arguments: Iterable[str], window: Interval) -> tuple[str, ...]:
    """Put the data interval in the place of its placeholders."""
    values = {START: show_instant(window.start), END: show_instant(window.end)}
    return tuple(values.get(argument, argument) for argument in arguments)
