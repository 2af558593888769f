"""``featurestore ledger``: the index of runs."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import say
from featurestore.runtime.run import recover


@click.group("ledger")
def command() -> None:
    """Work on the ledger of intervals."""


@command.command("rebuild")
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Record every run that the Delta logs have and the ledger lacks."""
    runtime = open_store(ctx).runtime
    for view in runtime.manifest.stored_views():
        say(f"{view.name} v{view.version}: {recover(runtime, view)} runs recorded")
