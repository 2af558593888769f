"""``featurestore ledger``: the index of runs."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import say


@click.group("ledger", short_help="Work on the index of runs.")
def command() -> None:
    """Work on the ledger of intervals."""


@command.command("rebuild", short_help="Make the done runs those of the Delta logs.")
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Make the done runs those that the Delta logs have: what the ledger lacks is added, what Delta lacks removed."""
    from featurestore.runtime.rebuild import rebuild_ledger

    for view, change in rebuild_ledger(open_store(ctx).runtime).items():
        say(f"{view}: {change.added:,} runs added, {change.removed:,} removed")
