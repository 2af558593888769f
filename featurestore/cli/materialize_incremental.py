"""``featurestore materialize-incremental END``: everything missing up to an instant."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import INSTANT, views_option
from featurestore.cli.output import as_json


@click.command("materialize-incremental", short_help="Compute and publish all that is missing.")
@click.argument("end", type=INSTANT)
@views_option
@as_json
@click.pass_context
def command(ctx: click.Context, end: datetime, views: tuple[str, ...], json_output: bool) -> int:
    """Compute and publish all missing steps up to END."""
    return run_stages(
        ctx,
        lambda store, progress: store.materialize_incremental(end, views or None, progress=progress),
        json_output=json_output,
    )
