"""``featurestore publish``: send what changed to the online store."""

from __future__ import annotations

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import views_option
from featurestore.cli.output import as_json


@click.command("publish", short_help="Send what changed to the online store.")
@views_option
@as_json
@click.pass_context
def command(ctx: click.Context, views: tuple[str, ...], json_output: bool) -> int:
    """Publish what changed since the last publication; everything, where the online store lost its data."""
    return run_stages(
        ctx,
        lambda store, progress: store.publish(views or None, progress=progress),
        json_output=json_output,
    )
