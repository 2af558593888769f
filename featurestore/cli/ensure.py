"""``featurestore ensure VIEW --until T``: all ready, missing steps of a view and of what it reads."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import print_result
from featurestore.cli.options import INSTANT, open_store
from featurestore.cli.output import as_json, stage_progress
from featurestore.cli.services import ensure_redis


@click.command("ensure")
@click.argument("view")
@click.option("--until", type=INSTANT, default=None, help="Up to this instant (default: now).")
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, until: datetime | None, json_output: bool) -> int:
    """Compute and publish the missing steps of VIEW and of the views it reads."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("planning") as progress:
        result = store.ensure(view, until, progress=progress)
    return print_result(result, json_output=json_output)
