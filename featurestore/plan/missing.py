"""The steps of a view that are still to be computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import StoredViewNode

__all__ = ["WholeSteps", "first_step", "missing_steps", "step_parts", "whole_steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSteps:
    """``steps`` lie wholly inside the asked bounds; ``left_out`` are the parts of the bounds that they leave."""

    steps: tuple[Interval, ...]
    left_out: tuple[Interval, ...]


def first_step(view: StoredViewNode) -> Interval | None:
    """Give the first whole step at or after the view's start; None without a schedule or a start."""
    if view.schedule is None or view.start is None:
        return None
    start = view.start if view.schedule.is_on_grid(view.start) else view.schedule.next(view.start)
    return Interval(start, view.schedule.next(start))


def whole_steps(view: StoredViewNode, bounds: Interval) -> WholeSteps:
    """Cut bounds into the schedule's steps; a view without schedule has one step: the bounds from its start on."""
    steps = tuple(_steps(view, bounds, bounds))
    return WholeSteps(steps=steps, left_out=Coverage.of(steps).missing(bounds))


def missing_steps(view: StoredViewNode, coverage: Coverage, bounds: Interval) -> tuple[Interval, ...]:
    """Give what is not covered of the whole steps inside ``bounds``, in order.

    That is a whole step nearly always. A part of one is left where a view whose values don't depend on the grid got
    another schedule. Costs as many steps as are missing, not as there are.
    """
    missing: dict[Interval, None] = {}
    for gap in coverage.missing(bounds):
        for step in _steps(view, bounds, gap):
            missing.update(dict.fromkeys(coverage.missing(step)))
    return tuple(missing)


def step_parts(view: StoredViewNode, coverage: Coverage, bounds: Interval) -> tuple[tuple[Interval, bool], ...]:
    """Give the whole steps inside ``bounds``, each with whether it is covered; one covered in part gives its parts."""
    parts: list[tuple[Interval, bool]] = []
    for step in whole_steps(view, bounds).steps:
        missing = Coverage.of(coverage.missing(step))
        parts += [(part, False) for part in missing]
        parts += [(part, True) for part in missing.missing(step)]
    return tuple(sorted(parts))


def _steps(view: StoredViewNode, bounds: Interval, near: Interval) -> Iterator[Interval]:
    """Give the steps inside ``bounds`` and not before the view's start that share an instant with ``near``."""
    start = bounds.start if view.start is None else max(bounds.start, view.start)
    if start >= bounds.end or near.is_empty:
        return
    inside = Interval(start, bounds.end)
    if view.schedule is None:
        yield inside
        return
    cursor = view.schedule.floor(max(near.start, start))
    while cursor < near.end:
        end = view.schedule.next(cursor)
        if inside.start <= cursor and end <= inside.end:
            yield Interval(cursor, end)
        cursor = end
