"""``featurestore rollback``: serve a view's version before the present one."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, notice, print_json, say
from featurestore.cli.services import ensure_redis


@click.command("rollback", short_help="Serve a view's earlier version again.")
@click.argument("view")
@click.option("--to", "version", type=int, help="A warm version (default: the one served last).")
@as_json
@click.pass_context
def command(ctx: click.Context, view: str, version: int | None, json_output: bool) -> None:
    """Make an earlier version of VIEW served again, at once, and say how stale it is.

    Called again, it goes forward again. Steps are computed for the applied definitions only.
    """
    store = open_store(ctx)
    ensure_redis(store.settings)
    result = store.rollback(view, version)
    if json_output:
        print_json(result.to_dict())
        return
    say(str(result))
    if result.is_stale:
        notice("it gets no further steps; apply its definitions to have them computed")
