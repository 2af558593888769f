"""A plan for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from featurestore.intervals import Interval, show_duration, show_instant
from featurestore.plan.diff import Change, ChangeKind
from featurestore.plan.plan import Plan, ViewWork

__all__ = ["format_plan", "plan_to_dict"]

_SIGNS = {ChangeKind.CREATED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}
_WIDEST_VALUE = 60
_MOST_RANGES = 3


def format_plan(plan: Plan) -> str:
    """Write the plan as lines of text, without a newline at the end."""
    return "\n".join(_lines(plan))


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Give the plan as plain JSON values; instants in ISO 8601."""
    return {
        "project": plan.project,
        "changes": [
            {
                "kind": change.kind.value,
                "object": change.object,
                "name": change.name,
                "affects_data": change.affects_data,
                "fields": [
                    {"path": field.path, "before": field.before, "after": field.after} for field in change.fields
                ],
            }
            for change in plan.changes
        ],
        "work": [
            {
                "view": work.view,
                "prediction": work.is_prediction,
                "new": work.is_new,
                "steps": work.steps,
                "ranges": [[show_instant(part.start), show_instant(part.end)] for part in work.ranges],
                "estimated_rows": work.rows,
                "estimated_seconds": work.seconds,
                "estimated_online_bytes": work.online_bytes,
            }
            for work in plan.work
        ],
        "steps": plan.steps,
        "warnings": list(plan.warnings),
    }


def _lines(plan: Plan) -> Iterator[str]:
    if plan.is_empty:
        yield f"Project {plan.project}: no changes, nothing to compute."
    else:
        yield (
            f"Project {plan.project}: {_count(len(plan.changes), 'change')},"
            f" {_count(plan.steps, 'step')} to compute in {_count(len(plan.work), 'view')}."
        )
    if plan.changes:
        yield ""
        yield "Definitions"
        for change in plan.changes:
            yield from _change_lines(change)
    if plan.work:
        yield ""
        yield "To compute"
        width = max(len(work.view) for work in plan.work)
        for work in plan.work:
            yield f"  {work.view:<{width}}  {_work_text(work)}"
    if plan.warnings:
        yield ""
        yield "Warnings"
        for warning in plan.warnings:
            yield f"  ! {warning}"


def _change_lines(change: Change) -> Iterator[str]:
    note = ""
    if change.kind is ChangeKind.CHANGED and "view" in change.object:
        note = "  (values change: new version)" if change.affects_data else "  (values stay)"
    yield f"  {_SIGNS[change.kind]} {change.object} {change.name}{note}"
    for field in change.fields:
        yield f"      {field.path}: {_show(field.before)} -> {_show(field.after)}"
    if change.kind is ChangeKind.CHANGED and not change.fields:
        yield "      what it reads has changed"


def _work_text(work: ViewWork) -> str:
    ranges = ", ".join(_range(part) for part in work.ranges[:_MOST_RANGES])
    more = len(work.ranges) - _MOST_RANGES
    text = f"{_count(work.steps, 'step')}  {ranges}{f' and {more} more' if more > 0 else ''}"
    estimates = []
    if work.seconds is not None:
        estimates.append(f"about {show_duration(timedelta(seconds=work.seconds))}")
    if work.rows is not None:
        estimates.append(f"{work.rows:,} rows")
    if work.online_bytes is not None:
        estimates.append(f"{_megabytes(work.online_bytes)} more in Redis while the version before stays")
    return f"{text}  ({', '.join(estimates)})" if estimates else text


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 50_000 else f"{size / 1e3:,.1f} kB"


def _range(part: Interval) -> str:
    start, end = (show_instant(instant).removesuffix("T00:00:00Z") for instant in (part.start, part.end))
    return f"{start} to {end}"


def _show(value: str | None) -> str:
    if value is None:
        return "absent"
    text = " ".join(value.split()) or '""'
    return text if len(text) <= _WIDEST_VALUE else f"{text[: _WIDEST_VALUE - 1]}…"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
