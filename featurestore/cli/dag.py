"""``featurestore dag``: the task graph that the DAG files make of the applied definitions."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import say
from featurestore.orchestration.format import show_graphs
from featurestore.orchestration.project_graphs import project_graphs


@click.group("dag", short_help="Look at the generated DAGs.")
def command() -> None:
    """Look at the generated DAGs."""


@command.command("show")
@click.pass_context
def show(ctx: click.Context) -> None:
    """Print DAGs, task groups, tasks and what they wait for."""
    store = open_store(ctx)
    say(show_graphs(project_graphs(store.manifest, store.settings)))
