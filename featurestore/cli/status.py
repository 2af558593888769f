"""``featurestore status``: coverage and freshness of every view."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, complain, print_json, print_table, say
from featurestore.intervals import show_duration


@click.command("status", short_help="Show coverage and freshness of every view.")
@as_json
@click.pass_context
def command(ctx: click.Context, json_output: bool) -> None:
    """Show what is done, missing, fresh and failed, view by view."""
    status = open_store(ctx).status()
    if json_output:
        print_json(status)
        return
    say(f"project {status['project']}, generation {status['generation']}")
    print_table(
        (
            "view",
            "version",
            "covered until",
            "published until",
            "missing",
            "rows",
            "newest row",
            "oldest row",
            "age",
            "objective",
        ),
        [_row(name, view) for name, view in status["views"].items()],
    )
    for name, view in status["written_on_demand_views"].items():
        say(f"{name} version {view['version']} is written with {', '.join(view['written_with']) or 'nothing else'}")
    for name, view in status["views"].items():
        for reason in view["waits_for"]:
            say(f"{name} waits: {reason}")
        for change in view["late_changes"]:
            say(f"{name} late: {change['message']}")
        if view["last_error"]:
            complain(f"{name} {view['last_error']['interval']}: {view['last_error']['message']}")


def _row(name: str, view: dict[str, Any]) -> tuple[object, ...]:
    return (
        name,
        view["version"],
        view["covered_until"],
        view["published_until"],
        len(view["missing_intervals"]),
        f"{view['rows']:,}",
        *(_duration(view[f"{name}_seconds"]) for name in ("newest_age", "oldest_age", "age")),
        _objective(view),
    )


def _objective(view: dict[str, Any]) -> str:
    """Say whether the age is within the objective, and by how much it is not."""
    if view["fresh"] is None:
        return ""
    lag = _duration(view["lag_seconds"] or None)
    return "fresh" if view["fresh"] else f"late by {lag}" if lag else "late"


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else show_duration(timedelta(seconds=seconds))
