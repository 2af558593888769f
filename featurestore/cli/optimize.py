"""``featurestore optimize``: keep up the offline tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from featurestore.cli.options import open_store, views_option
from featurestore.cli.output import as_json, complain, print_json, print_table, say, stage_progress
from featurestore.cli.services import ensure_redis

if TYPE_CHECKING:
    from featurestore.runtime.results import JobResult, UpkeepResult


@click.command("optimize", short_help="Merge small files, delete obsolete ones.")
@click.argument("named", metavar="[VIEW]...", nargs=-1)
@views_option
@click.option("--dry-run", is_flag=True, help="Say what would be done to each table, and why; do nothing.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, named: tuple[str, ...], views: tuple[str, ...], dry_run: bool, json_output: bool
) -> int:
    """Keep up the tables of views (all by default): what pays is done, everything else is left alone.

    Runs, publications and lookups go on meanwhile. No value changes, and nothing is published again.
    """
    from featurestore.runtime.upkeep import upkeep_views

    store = open_store(ctx)
    ensure_redis(store.settings)
    with stage_progress("looking at the tables") as progress:
        result = upkeep_views(store.runtime, (*named, *views) or None, dry_run=dry_run, progress=progress)
    if json_output:
        print_json(result.to_dict())
    else:
        _print(result)
    return result.exit_code


def _print(result: JobResult) -> None:
    tables = [table for view in result.views for table in view.upkeep]
    if tables:
        print_table(("table", "what", "why"), [line for table in tables for line in _lines(table)])
    else:
        say("no table is there yet")
    for view in result.views:
        if view.served_rows:
            say(f"{view.view}: {view.served_rows} rows of predictions served appended")
        if view.error:
            complain(str(view.error["message"]))


def _lines(table: UpkeepResult) -> list[tuple[str, str, str]]:
    step, is_done = table.step, not table.is_dry_run
    lines = []
    if step.properties or step.clusters_anew:
        names = ", ".join([*sorted(step.properties), *(["clustering"] if step.clusters_anew else [])])
        lines.append((step.table, "renewed" if is_done else "renew", f"properties of another release: {names}"))
    if step.removal is not None:
        removed = f"deleted {table.rows_removed} rows" if is_done else "delete rows"
        lines.append((step.table, removed if step.removal.pays else "no rows to delete", step.removal.reason))
    if step.compaction.pays and is_done:
        what = f"merged {table.files_removed} files into {table.files_added}"
    else:
        what = "merge" if step.compaction.pays else "no merging"
    lines.append((step.table, what, step.compaction.reason))
    deleted = f"deleted {table.files_deleted} files" if is_done else "delete"
    lines.append((step.table, deleted if step.vacuum.pays else "no deleting", step.vacuum.reason))
    return lines
