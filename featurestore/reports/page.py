"""One self-contained HTML page, and the same content as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from featurestore.filesystems import write_atomically
from featurestore.intervals import show_instant

__all__ = ["Section", "Table", "show_number", "write_page"]

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.3em 1.2em .3em 0;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    ".plots{display:flex;flex-wrap:wrap;gap:1em}svg{max-width:100%;height:auto}h2{margin-top:2em}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells are shown as they are; numbers to four digits."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[str] = ()


def write_page(path: Path, *, title: str, summary: str, sections: Sequence[Section], content: Any) -> Path:
    """Write ``path`` (HTML) and, beside it, the content as JSON; give the page's path. Writing again replaces both."""
    parts = [f"<h1>{escape(title)}</h1><p>{escape(summary)}</p>", *map(_section, sections)]
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    write_atomically(path.with_suffix(".json"), json.dumps(_plain(content), indent=2, sort_keys=True) + "\n")
    write_atomically(path, html)
    return path


def show_number(value: object) -> str:
    """Show a number to four digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _section(section: Section) -> str:
    tables = "".join(map(_table, section.tables))
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    plots = f'<div class="plots">{"".join(section.figures)}</div>' if section.figures else ""
    return f"<h2>{escape(section.title)}</h2>{text}{tables}{plots}"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(show_number(cell))}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _plain(value: Any) -> Any:
    """Turn content into JSON values: dataclasses as objects, NaN and infinities as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    match value:
        case Mapping():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime():
            return show_instant(value)
        case timedelta():
            return value.total_seconds()
        case float():
            return value if math.isfinite(value) else None
    return value
