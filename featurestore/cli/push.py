"""``featurestore push``: write the rows of a file as a producer does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, say
from featurestore.cli.services import ensure_redis
from featurestore.spec.push import PushMode

if TYPE_CHECKING:
    import pyarrow as pa

_MODES = {"online": PushMode.ONLINE, "offline": PushMode.OFFLINE, "both": PushMode.ONLINE_AND_OFFLINE}


@click.command("push", short_help="Write the rows of a file to a view.")
@click.argument("target")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", type=click.Choice(list(_MODES)), default="online", show_default=True, help="Where rows go.")
@click.option(
    "--on-invalid",
    type=click.Choice(["raise", "dead_letter"]),
    default="raise",
    show_default=True,
    help="Refuse the whole file, or set invalid rows aside.",
)
@click.option(
    "--transform/--no-transform",
    default=True,
    show_default=True,
    help="Compute on-demand features that are stored, or take the file's columns for them.",
)
@as_json
@click.pass_context
def command(
    ctx: click.Context, target: str, file: Path, to: str, on_invalid: str, transform: bool, json_output: bool
) -> None:
    """Write the rows of FILE (Parquet, CSV or JSON lines) to TARGET, a push source or a view.

    \b
    featurestore push profile_updates updates.parquet --to both
    featurestore push model_predictions scores.csv
    """
    store = open_store(ctx)
    ensure_redis(store.settings)
    rows = _read(file)
    result = store.write_rows(target, rows, to=_MODES[to], on_invalid=on_invalid, transform_on_write=transform)
    if json_output:
        print_json(result.to_dict())
        return
    counts = {
        "written": result.written,
        "ignored as older": result.ignored,
        "set aside": result.dead_lettered,
        "landed": result.landed,
    }
    say(", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what == "written"))
    for version, reason in result.skipped.items():
        say(f"{version} could not take the rows: {reason}")


def _read(file: Path) -> pa.Table:
    match file.suffix.lower():
        case ".parquet":
            from pyarrow import parquet

            return parquet.read_table(file)
        case ".csv":
            from pyarrow import csv

            return csv.read_csv(file)
        case ".json" | ".jsonl" | ".ndjson":
            from pyarrow import json

            return json.read_json(file)
        case other:
            raise click.UsageError(f"{file.name}: {other or 'no'} ending; valid are .parquet, .csv, .json and .jsonl")
