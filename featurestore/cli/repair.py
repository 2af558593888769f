"""``featurestore repair VIEW``: bring computed steps up to what their inputs are now."""

from __future__ import annotations

from datetime import datetime

import click

from featurestore.cli.job_output import run_stages
from featurestore.cli.options import INSTANT
from featurestore.cli.output import as_json


@click.command("repair", short_help="Recompute what changed inputs touched.")
@click.argument("view")
@click.option("--from", "start", type=INSTANT, default=None, help="Recompute all covered steps from here on.")
@click.option("--until", "end", type=INSTANT, default=None, help="Recompute all covered steps up to here.")
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, start: datetime | None, end: datetime | None, json_output: bool) -> int:
    """Recompute and publish the covered steps of VIEW whose inputs changed since, however long ago.

    Only keys of changed rows are computed. With --from or --until: all keys of all covered steps inside, changed or
    not.
    """
    return run_stages(
        ctx,
        lambda store, progress: store.repair(view, start, end, progress=progress),
        json_output=json_output,
    )
