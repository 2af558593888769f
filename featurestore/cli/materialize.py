"""``featurestore materialize START END``: compute and publish a range."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import INSTANT, views_option
from featurestore.cli.output import as_json


@click.command("materialize", short_help="Compute and publish a range.")
@click.argument("start", type=INSTANT)
@click.argument("end", type=INSTANT)
@views_option
@click.option("--repair", is_flag=True, help="Compute done steps again, from today's inputs.")
@click.option("--all", "predict_all", is_flag=True, help="Predict for all entities, not only where inputs changed.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    start: datetime,
    end: datetime,
    views: tuple[str, ...],
    repair: bool,
    predict_all: bool,
    json_output: bool,
) -> int:
    """Compute and publish the whole steps inside [START, END) that are not done yet."""
    return run_stages(
        ctx,
        lambda store, progress: store.materialize(
            start, end, views or None, repair=repair, predict_all=predict_all, progress=progress
        ),
        json_output=json_output,
    )
