"""``featurestore plan``: what apply would change."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, say
from featurestore.plan.format import format_plan, plan_to_dict


@click.command("plan", short_help="Show what apply would change and compute.")
@as_json
@click.pass_context
def command(ctx: click.Context, json_output: bool) -> None:
    """Check all definitions and show what apply would change and compute."""
    plan = open_store(ctx).plan()
    if json_output:
        print_json(plan_to_dict(plan))
    else:
        say(format_plan(plan))
