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
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, start: datetime, end: datetime, json_output: bool) -> int:
    """Compute and publish VIEW's missing steps inside [START, END); resumes where it stopped."""
    return run_stages(
        ctx,
        lambda store, progress: store.backfill(view, start, end, progress=progress),
        json_output=json_output,
    )
