"""The gate's HTML: one page for each check, and an index of them."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

from featurestore.intervals import Interval, show_instant
from featurestore.quality.results import RuleFailure

__all__ = ["write_report"]

_LISTED = 500
_LEDGER = "reports.jsonl"
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.3em 1em .3em 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    ".refused{color:#b00020}.warned{color:#8a6d00}.passed{color:#1b7a34}"
)


def write_report(
    folder: Path,
    *,
    view: str,
    interval: Interval,
    run_id: str,
    on: str,
    rules: int,
    failures: Sequence[RuleFailure],
    page: str,
) -> Path:
    """Write the page and add it to ``index.html``; give the page's path. Writing the same run again replaces it."""
    name = Path(view) / _file_name(interval) / f"{run_id}-{on}.html"
    target = folder / name
    critical = sum(failure.severity == "critical" for failure in failures)
    entry = {
        "page": name.as_posix(),
        "view": view,
        "interval": str(interval),
        "on": on,
        "run": run_id,
        "rules": rules,
        "failed": critical,
        "warnings": len(failures) - critical,
    }
    _replace(target, _with_summary(page, entry, failures))
    _add_to_index(folder, entry)
    return target


def _with_summary(page: str, entry: dict[str, object], failures: Sequence[RuleFailure]) -> str:
    """Put what the gate decided above Great Expectations' own page, which lacks rules that could not be built."""
    lines = "".join(f"<li><b>{failure.severity}</b>: {escape(failure.message)}</li>" for failure in failures)
    title = f"{entry['view']} {entry['interval']}, {entry['on']}: {_outcome(entry)}"
    summary = f'<section style="padding:1em 2em"><h4>{escape(title)}</h4><ul>{lines}</ul></section>'
    return page.replace("<body>", f"<body>{summary}", 1)


def _add_to_index(folder: Path, entry: dict[str, object]) -> None:
    """Append to the list and render it anew; a file lock keeps jobs on this machine apart."""
    with (folder / _LEDGER).open("a+", encoding="utf-8") as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        ledger.write(json.dumps(entry, sort_keys=True) + "\n")
        ledger.flush()
        ledger.seek(0)
        entries = {line["page"]: line for line in map(json.loads, ledger)}
        _replace(folder / "index.html", _index([*entries.values()][::-1][:_LISTED]))


def _index(entries: Sequence[dict[str, object]]) -> str:
    header = "".join(f"<th>{name}</th>" for name in ("Result", "View", "Interval", "Checked", "Rules", "Report"))
    rows = "".join(
        f'<tr><td class="{_outcome(entry)}">{_outcome(entry)}</td><td>{escape(str(entry["view"]))}</td>'
        f"<td>{escape(str(entry['interval']))}</td><td>{entry['on']}</td><td>{entry['rules']}</td>"
        f'<td><a href="{escape(str(entry["page"]))}">{escape(str(entry["run"]))}</a></td></tr>'
        for entry in entries
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Data quality reports</title>'
        f"<style>{_STYLE}</style><h1>Data quality reports</h1><p>The last {len(entries)}, newest first.</p>"
        f"<table><tr>{header}</tr>{rows}</table></html>\n"
    )


def _outcome(entry: dict[str, object]) -> str:
    return "refused" if entry["failed"] else "warned" if entry["warnings"] else "passed"


def _file_name(interval: Interval) -> str:
    return f"{show_instant(interval.start)}_{show_instant(interval.end)}".replace(":", "")


def _replace(path: Path, text: str) -> None:
    """Write by rename, so that a reader sees the old page or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
