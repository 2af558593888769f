"""What all verbs that run stages do: open the store, show progress, print what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import complain, print_json, print_table, say, stage_progress
from featurestore.cli.services import ensure_redis
from featurestore.errors import ExitCode
from featurestore.intervals import show_instant

if TYPE_CHECKING:
    from featurestore.runtime.pace import Progress
    from featurestore.runtime.results import JobResult
    from featurestore.store import FeatureStore

__all__ = ["print_result", "run_stages"]


def run_stages(
    ctx: click.Context, call: Callable[[FeatureStore, Progress], JobResult], *, json_output: bool
) -> ExitCode:
    """Call ``call`` with the open store and the callable that its stages tell their progress to."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("planning") as progress:
        result = call(store, progress)
    return print_result(result, json_output=json_output)


def print_result(result: JobResult, *, json_output: bool) -> ExitCode:
    """Print a job's result, and give its exit code."""
    if json_output:
        print_json(result.to_dict())
        return result.exit_code
    rows = []
    for view in result.views:
        published = view.published
        rows.append(
            (
                view.view,
                view.outcome.name.lower().replace("_", " "),
                view.steps,
                show_instant(view.intervals[-1].interval.end) if view.intervals else "",
                f"{view.rows:,}",
                "" if published is None else f"{published.sent:,}",
                f"{view.seconds:.1f} s",
            )
        )
    print_table(("view", "outcome", "steps", "up to", "rows", "published", "time"), rows)
    for view in result.views:
        if "entities" in view.counts:
            predicted, entities = view.counts["predicted"], view.counts["entities"]
            say(f"{view.view}: predicted for {predicted:,} of {entities:,} entities; the others' inputs are unchanged")
        if view.error:
            complain(str(view.error["message"]))
    return result.exit_code
