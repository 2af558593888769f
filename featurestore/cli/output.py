"""How verbs print: a table or text for people, one JSON document with ``--json``; complaints go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from featurestore.intervals import show_instant

__all__ = ["as_json", "complain", "notice", "print_json", "print_table", "say", "stage_progress"]

_WIDTH_OF_FILES = 200
"""Output that goes to a file or a pipe is not folded at a terminal's width."""

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

as_json = click.option("--json", "json_output", is_flag=True, help="Print one JSON document.")


def say(text: str) -> None:
    _out.print(text, markup=False)


def notice(text: str) -> None:
    """Say something beside the result, which stays alone on stdout."""
    _err.print(text, markup=False)


def complain(text: str) -> None:
    _err.print(f"[bold red]error[/]: {escape(text)}")


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True, default=_plain))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    _out.print(table)


@contextmanager
def stage_progress(title: str) -> Iterator[Any]:
    """Show a bar on stderr for stages; gives the callable that ``runtime.execute`` tells its progress to."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=not _err.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def show(number: int, total: int, text: str) -> None:
            progress.update(task, completed=number - 1, total=total, description=text)
            if not _err.is_terminal:
                _err.print(f"[{number}/{total}] {text}", markup=False)

        yield show
        if progress.tasks[0].total is not None:
            progress.update(task, completed=progress.tasks[0].total, description="done")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return show_instant(value)
    return value.isoformat() if isinstance(value, date) else str(value)
