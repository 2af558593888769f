"""``featurestore down``: stop the project's own services."""

from __future__ import annotations

import click

from featurestore.cli.output import say
from featurestore.cli.services import airflow_server, redis_server
from featurestore.settings import load_settings


@click.command("down", short_help="Stop the project's Redis and Airflow.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Stop the project's Redis and Airflow; their data stays."""
    settings = load_settings(ctx.obj)
    say("Airflow stopped" if airflow_server(settings).stop() else "Airflow was not running")
    say("Redis stopped" if redis_server(settings).stop() else "Redis was not running")
