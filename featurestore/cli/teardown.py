"""``featurestore teardown``: delete what a project stored."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import say
from featurestore.cli.services import ensure_redis


@click.command("teardown", short_help="Delete what the project has stored.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_context
def command(ctx: click.Context, yes: bool) -> None:
    """Delete the project's online rows, view tables and ledger. Source data stays."""
    store = open_store(ctx)
    if not yes:
        click.confirm(f"Delete all that project {store.settings.project} has stored?", abort=True)
    ensure_redis(store.settings)
    for view, rows in store.teardown().items():
        say(f"{view}: table, ledger and {rows:,} online rows deleted")
