"""``featurestore publish``: send what changed to the online store."""

from __future__ import annotations

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import entity_row, views_option
from featurestore.cli.output import as_json


@click.command("publish", short_help="Send what changed to the online store.")
@click.argument("named", metavar="[VIEW]...", nargs=-1)
@views_option
@click.option("--keys", "-k", "keys", multiple=True, help="key=value[,key=value…]: an entity of the one view named.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, named: tuple[str, ...], views: tuple[str, ...], keys: tuple[str, ...], json_output: bool
) -> int:
    """Publish what changed since the last publication; everything, where the online store lost its data.

    With --keys only what the table has for these entities, also where delete_online deleted them.
    """
    chosen = (*named, *views)
    if not keys:
        return run_stages(
            ctx,
            lambda store, progress: store.publish(chosen or None, progress=progress),
            json_output=json_output,
        )
    if len(chosen) != 1:
        raise click.UsageError(f"--keys are those of one view; found {', '.join(chosen) or 'none'}: name one")
    rows = [entity_row(text, "--keys") for text in keys]
    return run_stages(ctx, lambda store, _: store.publish_keys(chosen[0], rows), json_output=json_output)
