"""``featurestore monitor VIEW --labels PATH``: a report on served predictions."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from featurestore.cli.options import INSTANT, open_store
from featurestore.cli.output import as_json, print_json, say


@click.command("monitor", short_help="Report on served predictions.")
@click.argument("view")
@click.option("--labels", type=click.Path(exists=True), default=None, help="Parquet or CSV with keys and times.")
@click.option("--label", default="label", show_default=True, help="The label's column.")
@click.option("--training", type=click.Path(exists=True), default=None, help="The training set, to tell drift.")
@click.option("--start", type=INSTANT, default=None, help="From here (default: 30 days before the end).")
@click.option("--end", type=INSTANT, default=None, help="Up to here (default: now).")
@click.option("--within-hours", type=float, default=None, help="A label counts for a prediction at most so much older.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Where to write the page.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    view: str,
    labels: str | None,
    label: str,
    training: str | None,
    start: datetime | None,
    end: datetime | None,
    within_hours: float | None,
    out: Path | None,
    json_output: bool,
) -> None:
    """Hold the predictions served of VIEW against labels and training data. Writes HTML, and JSON beside it."""
    page = open_store(ctx).reports.monitor(
        view,
        labels=labels,
        label=label,
        training=training,
        start=start,
        end=end,
        within=None if within_hours is None else timedelta(hours=within_hours),
        path=out,
    )
    if json_output:
        print_json({"page": str(page), "json": str(page.with_suffix(".json"))})
    else:
        say(str(page))
