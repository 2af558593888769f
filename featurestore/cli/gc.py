"""``featurestore gc``: free what no version needs any more."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, print_table, say
from featurestore.cli.services import ensure_redis


@click.command("gc", short_help="Free tables and keys of old versions.")
@click.option("--yes", is_flag=True, help="Free them; without it they are listed only.")
@click.option("--scan", is_flag=True, help="Look at every key of the server for rows that no version needs.")
@as_json
@click.pass_context
def command(ctx: click.Context, yes: bool, scan: bool, json_output: bool) -> None:
    """Free tables and online rows of view versions that are neither applied nor served, building or warm.

    Rows are found by the keys in the tables and by an index of the keys that others wrote, not by a search.
    """
    store = open_store(ctx)
    ensure_redis(store.settings)
    garbage = store.gc(dry_run=not yes)
    orphans = store.scan_orphans(dry_run=not yes) if scan else None
    if json_output:
        print_json({"versions": [found.to_dict() for found in garbage], "orphans": orphans, "freed": yes})
        return
    if garbage:
        print_table(
            ("view", "version", "table", "tile tables", "rows sent", "online rows freed"),
            [
                (
                    found.view,
                    found.version,
                    "yes" if found.has_table else "no",
                    len(found.tiles),
                    f"{found.rows:,}",
                    found.freed,
                )
                for found in garbage
            ],
        )
    else:
        say("every version is needed")
    if orphans is not None:
        say(f"{orphans:,} online rows that no version needs{' were freed' if yes else ''}")
    if not yes and (garbage or orphans):
        say("nothing was freed; --yes does it")
