"""``featurestore backfill VIEW START END``: one view's history."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import INSTANT
from featurestore.cli.output import as_json


@click.command("backfill", short_help="Compute and publish one view's history.")
@click.argument("view")
@click.argument("start", type=INSTANT)
@click.argument("end", type=INSTANT)
@click.option("--parallel", type=click.IntRange(1), default=1, help="Runs that are computed at once.")
@click.option("--steps-per-run", type=click.IntRange(1), help="Steps that a run computes (default: by earlier runs).")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    view: str,
    start: datetime,
    end: datetime,
    parallel: int,
    steps_per_run: int | None,
    json_output: bool,
) -> int:
    """Compute and publish VIEW's missing steps inside [START, END); resumes where it stopped.

    Several steps are computed at once, which saves start-up and reading the same rows again. The table is the one that
    step after step gives, whatever the runs and however many side by side.
    """
    return run_stages(
        ctx,
        lambda store, progress: store.backfill(
            view, start, end, parallel=parallel, steps_per_run=steps_per_run, progress=progress
        ),
        json_output=json_output,
    )
