"""``featurestore up``: start the project's own services."""

from __future__ import annotations

import click

from featurestore.cli.output import say
from featurestore.cli.services import airflow_server, create_pool, ensure_redis
from featurestore.settings import load_settings


@click.command("up", short_help="Start the project's Redis and Airflow.")
@click.option("--airflow/--no-airflow", default=True, help="Start Airflow too (default), or Redis alone.")
@click.pass_context
def command(ctx: click.Context, airflow: bool) -> None:
    """Start the project's Redis and Airflow, and wait until they serve."""
    settings = load_settings(ctx.obj)
    if settings.uses_own_redis:
        ensure_redis(settings)
    else:
        say("online store: configured in feature_store.yaml, not started here")
    if airflow:
        server = airflow_server(settings)
        server.start()
        create_pool(settings)
        say(f"Airflow serves {server.url} (home {server.home})")
