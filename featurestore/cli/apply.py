"""``featurestore apply``: record the definitions."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, say
from featurestore.cli.services import ensure_redis
from featurestore.plan.format import format_plan, plan_to_dict


@click.command("apply", short_help="Check the definitions and record them.")
@as_json
@click.pass_context
def command(ctx: click.Context, json_output: bool) -> None:
    """Check all definitions and record them: registry, DAG manifest, online manifest."""
    store = open_store(ctx)
    ensure_redis(store.settings)
    plan = store.apply()
    if json_output:
        print_json(plan_to_dict(plan))
        return
    say(format_plan(plan))
    say(f"applied: generation {store.manifest.generation} of project {store.settings.project}")
