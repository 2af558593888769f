"""``featurestore publish``: send what changed to the online store."""

from __future__ import annotations

import click

from featurestore.cli.job_output import print_result
from featurestore.cli.options import open_store, views_option
from featurestore.cli.output import as_json, stage_progress
from featurestore.cli.services import ensure_redis


@click.command("publish")
@views_option
@as_json
@click.pass_context
def command(ctx: click.Context, views: tuple[str, ...], json_output: bool) -> int:
    """Publish what changed since the last publication; everything, where the online store lost its data."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("planning") as progress:
        result = store.publish(views or None, progress=progress)
    return print_result(result, json_output=json_output)
