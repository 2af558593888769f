"""``featurestore get-historical-features``: a training set from a file of entity rows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, print_table, say

_SHOWN_ROWS = 10


@click.command("get-historical-features", short_help="Join features to a file's rows, as of then.")
@click.argument("spine", type=click.Path(exists=True))
@click.option("--feature", "-f", "features", multiple=True, help="view:feature; may be given again.")
@click.option("--service", "-s", help="A feature service, instead of --feature.")
@click.option(
    "--availability",
    type=click.Choice(["event", "scheduled", "actual"]),
    default="event",
    show_default=True,
    help="From when a value counts: its event time, its step's schedule, or its publication.",
)
@click.option("--created-before-event", is_flag=True, help="Count only values created by the row's event_timestamp.")
@click.option("--full-names", is_flag=True, help="Name answers view__feature.")
@click.option("--allow-missing", is_flag=True, help="Give nulls where views were never computed.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write a Parquet file.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    spine: str,
    features: tuple[str, ...],
    service: str | None,
    availability: Literal["event", "scheduled", "actual"],
    created_before_event: bool,
    full_names: bool,
    allow_missing: bool,
    output: Path | None,
    json_output: bool,
) -> None:
    """Join features to the rows of SPINE (Parquet, CSV or Delta) as they were at each row's event_timestamp."""
    if bool(features) == bool(service):
        raise click.UsageError("name features by -f view:feature (again and again) or one service by -s, not both")
    job = open_store(ctx).get_historical_features(
        spine,
        service or list(features),
        full_feature_names=full_names,
        created_before_event=created_before_event,
        availability=availability,
        allow_missing=allow_missing,
    )
    table = job.to_arrow()
    if output is not None:
        import pyarrow.parquet as pq

        pq.write_table(table, output)
        if json_output:
            print_json({"rows": table.num_rows, "path": str(output)})
        else:
            say(f"{table.num_rows:,} rows written to {output}")
    elif json_output:
        print_json(table.to_pylist())
    else:
        print_table(table.column_names, (list(row.values()) for row in table.slice(0, _SHOWN_ROWS).to_pylist()))
        say(f"{table.num_rows:,} rows" + (f", the first {_SHOWN_ROWS} shown" if table.num_rows > _SHOWN_ROWS else ""))
