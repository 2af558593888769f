"""``featurestore ensure VIEW --until T``: all ready, missing steps of a view and of what it reads."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import INSTANT
from featurestore.cli.output import as_json


@click.command("ensure", short_help="Compute what a view lacks, with its inputs.")
@click.argument("view")
@click.option("--until", type=INSTANT, default=None, help="Up to this instant (default: now).")
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, until: datetime | None, json_output: bool) -> int:
    """Compute and publish the missing steps of VIEW and of the views it reads."""
    return run_stages(
        ctx,
        lambda store, progress: store.ensure(view, until, progress=progress),
        json_output=json_output,
    )
