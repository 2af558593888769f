"""A plan for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from featurestore.intervals import Interval, show_duration, show_instant
from featurestore.plan.diff import Change, ChangeKind
from featurestore.plan.plan import Plan
from featurestore.plan.work import ViewWork

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
                "estimated_from": work.cost.basis or None,
                "estimated_rows": work.cost.rows,
                "estimated_seconds": work.cost.seconds,
                "estimated_core_minutes": None if work.cost.core_seconds is None else work.cost.core_seconds / 60,
                "estimated_read_bytes": work.cost.read_bytes,
                "estimated_delta_bytes": work.cost.delta_bytes,
                "estimated_online_bytes": work.online_bytes,
                "unknown": list(work.unknown),
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
            for line in _cost_lines(work):
                yield f"  {'':<{width}}  {line}"
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
    return f"{_count(work.steps, 'step')}  {ranges}{f' and {more} more' if more > 0 else ''}"


def _cost_lines(work: ViewWork) -> Iterator[str]:
    """Say about what the steps take, what that is derived from, and what cannot be known yet."""
    cost, figures = work.cost, []
    if cost.rows is not None:
        figures.append(_count(cost.rows, "row"))
    if cost.delta_bytes is not None:
        figures.append(f"{_size(cost.delta_bytes)} in Delta")
    if cost.core_seconds is not None:
        figures.append(f"{cost.core_seconds / 60:,.1f} core-minutes")
    if cost.seconds is not None:
        figures.append(f"{show_duration(timedelta(seconds=cost.seconds))} in all")
    if cost.read_bytes is not None:
        figures.append(f"{_size(cost.read_bytes)} read")
    if figures:
        yield f"about {', '.join(figures)}  (by {cost.basis})"
    if work.online_bytes is not None:
        yield f"about {_size(work.online_bytes)} more in Redis while the version before stays"
    if work.unknown:
        yield f"unknown: {', '.join(work.unknown)}"


def _size(size: int) -> str:
    if size >= 1_000_000_000:
        return f"{size / 1e9:,.1f} GB"
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
