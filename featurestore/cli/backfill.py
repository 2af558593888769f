"""``featurestore backfill VIEW START END``: one view's history."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import print_result
from featurestore.cli.options import INSTANT, open_store
from featurestore.cli.output import as_json, stage_progress
from featurestore.cli.services import ensure_redis


@click.command("backfill")
@click.argument("view")
@click.argument("start", type=INSTANT)
@click.argument("end", type=INSTANT)
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, start: datetime, end: datetime, json_output: bool) -> int:
    """Compute and publish VIEW's missing steps inside [START, END); resumes where it stopped."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("planning") as progress:
        result = store.backfill(view, start, end, progress=progress)
    return print_result(result, json_output=json_output)
