"""``featurestore compare-predictions VIEW --versions 1,2``: a report on two versions of a model."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from featurestore.cli.options import INSTANT, open_store
from featurestore.cli.output import as_json, print_json, say


class _Versions(click.ParamType[tuple[int, int]]):
    name = "old,new"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            old, new = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"found {value!r}; give two versions, such as 1,2", param, ctx)
        return old, new


@click.command("compare-predictions", short_help="Compare two versions of a prediction view.")
@click.argument("view")
@click.option("--versions", type=_Versions(), default=None, help="The old and the new version, such as 1,2.")
@click.option("--shadow", default=None, metavar="VERSION", help="Or: a shadow model with what was served.")
@click.option("--at", type=INSTANT, default=None, help="As of (or served up to) this instant.")
@click.option(
    "--rows", type=click.IntRange(min=1), default=100_000, show_default=True, help="At most so many entities."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Where to write the page.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    view: str,
    versions: tuple[int, int] | None,
    shadow: str | None,
    at: datetime | None,
    rows: int,
    out: Path | None,
    json_output: bool,
) -> None:
    """Compare the predictions of two versions: distribution, agreement, latency. Writes HTML, and JSON beside it."""
    if (versions is None) == (shadow is None):
        raise click.UsageError("give --versions OLD,NEW or --shadow VERSION")
    reports = open_store(ctx).reports
    if versions is not None:
        page = reports.compare(view, versions, at=at, rows=rows, path=out)
    else:
        page = reports.compare_shadow(view, shadow, end=at, path=out)
    if json_output:
        print_json({"page": str(page), "json": str(page.with_suffix(".json"))})
    else:
        say(str(page))
