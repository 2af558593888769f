"""``featurestore served``: the log of served predictions."""

from __future__ import annotations

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, print_table, say
from featurestore.errors import ExitCode


@click.group("served", short_help="The log of served predictions.")
def command() -> None:
    """Work on the log of served predictions, which lookups write where `lookup: log_served` is true."""


@command.command("append", short_help="Append landed files to Delta.")
@as_json
@click.pass_context
def append(ctx: click.Context, json_output: bool) -> int:
    """Append what lookups have landed to the Delta tables of served predictions; run it by schedule."""
    from featurestore.runtime.served import append_served

    counts = append_served(open_store(ctx).runtime)
    if json_output:
        print_json({"rows": counts})
    elif not counts:
        say("no lookup has logged a prediction yet; set `lookup: {log_served: true}`")
    else:
        print_table(["prediction view", "rows appended"], sorted(counts.items()))
    return ExitCode.DONE if any(counts.values()) else ExitCode.NOTHING_TO_DO
