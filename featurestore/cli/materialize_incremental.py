"""``featurestore materialize-incremental END``: everything missing up to an instant."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import print_result
from featurestore.cli.options import INSTANT, open_store, views_option
from featurestore.cli.output import as_json, stage_progress
from featurestore.cli.services import ensure_redis


@click.command("materialize-incremental")
@click.argument("end", type=INSTANT)
@views_option
@as_json
@click.pass_context
def command(ctx: click.Context, end: datetime, views: tuple[str, ...], json_output: bool) -> int:
    """Compute and publish all missing steps up to END."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("planning") as progress:
        result = store.materialize_incremental(end, views or None, progress=progress)
    return print_result(result, json_output=json_output)
