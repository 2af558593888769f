"""Which steps depend on input rows that changed after they were computed: pure, from event times to repairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from featurestore.errors import FeatureNotFound
from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    Aggregations,
    DeltaSourceNode,
    FileSourceNode,
    FunctionTransformation,
    InputNode,
    Passthrough,
    SourceInput,
    SqlTransformation,
    ViewNode,
)

__all__ = [
    "MOST_STEPS",
    "Reach",
    "Repair",
    "Touched",
    "affected",
    "horizon_of",
    "oldest_read",
    "plan_repairs",
    "reach_of",
    "split_at",
]

MOST_STEPS = 64
"""A repair computes at most so many steps in one run."""
_MICROSECOND = timedelta(microseconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)


class Reach(StrEnum):
    """What steps read of an input."""

    EVENTS = "events"
    """The rows of a window, a lookback or the step itself."""
    SNAPSHOT = "snapshot"
    """Each key's newest row at the step end."""
    EVERYTHING = "everything"
    """All rows whatever their time: a dimension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Event times of one input in which rows came or went; None: of a dimension, which has no times.

    ``rows`` is how many at most, None where not known. ``keys_known`` says that the changed rows can be read; without,
    all keys may be touched, and ``reason`` says why.
    """

    input: str
    times: Interval | None
    rows: int | None = None
    keys_known: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Covered steps to compute again, together: for the keys of the ``touched`` rows, or for all (``whole``).

    ``first``: the first of the steps begins a covered stretch.
    """

    interval: Interval
    first: bool
    whole: bool
    touched: tuple[Touched, ...]


def reach_of(manifest: Manifest, view: ViewNode, name: str) -> Reach:
    """Say what the view's steps read of the source or view ``name``."""
    code = view.transformation
    is_source = any(isinstance(entry, SourceInput) and entry.source == name for entry in view.inputs)
    if is_source and not _has_time(manifest, SourceInput(source=name)):
        return Reach.EVERYTHING
    if not is_source and name not in manifest.parents(view):
        raise FeatureNotFound(f"view {view.name!r} does not read {name!r}", view=view.name)
    if is_source or not isinstance(code, SqlTransformation | FunctionTransformation):
        return Reach.EVENTS
    has_events = any(_has_time(manifest, entry) for entry in view.inputs if isinstance(entry, SourceInput))
    return Reach.SNAPSHOT if code.per == "step" or has_events else Reach.EVENTS


def _has_time(manifest: Manifest, entry: InputNode) -> bool:
    source = manifest.sources[entry.source] if isinstance(entry, SourceInput) else None
    return not isinstance(source, FileSourceNode | DeltaSourceNode) or source.timestamp_field is not None


def affected(view: ViewNode, reach: Reach, times: Interval | None) -> Interval:
    """Give the steps that a change at ``times`` can alter, as the range from the first's start to the last's end.

    For an aggregate view these are the step ends in ``(h, h + longest window]``, and the one at which the event has
    just left the window: whether it has a row depends on the step before. The end may be far beyond all coverage.
    """
    if times is None or reach is Reach.EVERYTHING:
        return Interval(datetime.min.replace(tzinfo=UTC), _FOREVER)
    if times.is_empty:
        return times
    grid = view.schedule
    last = times.end - _MICROSECOND
    if reach is Reach.SNAPSHOT:
        start = times.start - _MICROSECOND
        return Interval(start if grid is None else grid.floor(start), _FOREVER)
    start = times.start if grid is None else grid.floor(times.start)
    match view.transformation:
        case Aggregations() if view.longest_window is None:
            end = _FOREVER
        case Aggregations():
            assert view.longest_window is not None
            length = view.longest_window + _lookback(view)  # an event made by a query may lie so much later
            end = times.end + length if grid is None else grid.next(last + length)
        case SqlTransformation() | FunctionTransformation() as code if code.lookback:
            until = last + code.lookback
            if grid is None:
                end = until + _MICROSECOND
            else:  # it counts from a step's end where the code runs once for it, from its start where it maps rows
                end = max(grid.next(last), grid.floor(until)) if code.per == "step" else grid.next(until)
        case _:
            end = times.end if grid is None else grid.next(last)
    return Interval(start, end)


def horizon_of(view: ViewNode, coverage: Coverage) -> datetime:
    """Give the event time from which on changes are repaired: ``late_data`` before the end of the coverage."""
    assert coverage.end is not None
    return coverage.end - view.late_data


def oldest_read(view: ViewNode, coverage: Coverage) -> datetime:
    """Give the earliest event time that a covered step reads, as far as it is bounded."""
    begin = coverage.stretches[0].start
    return begin - (view.longest_window or timedelta(0)) - _lookback(view)


def _lookback(view: ViewNode) -> timedelta:
    return (view.user_code.lookback if view.user_code is not None else None) or timedelta(0)


def split_at(touched: Touched, horizon: datetime) -> tuple[Touched | None, Touched | None]:
    """Give the part before ``horizon`` and the part from it on. A dimension's change is on both sides."""
    if touched.times is None:
        return touched, touched
    if touched.times.end <= horizon:
        return touched, None
    if touched.times.start >= horizon:
        return None, touched
    older, newer = Interval(touched.times.start, horizon), Interval(horizon, touched.times.end)
    return replace(touched, times=older), replace(touched, times=newer)


def plan_repairs(
    view: ViewNode,
    coverage: Coverage,
    touched: Iterable[tuple[Touched, Reach]],
    *,
    within: Interval | None = None,
    runs: Sequence[Interval] = (),
    most_steps: int = MOST_STEPS,
) -> tuple[Repair, ...]:
    """Cover the steps that the touched times affect by as few repairs as can be, oldest first.

    Only user code is computed whole: its rows may mix keys. ``within`` leaves out steps outside of it. ``runs`` are the
    intervals that were computed, the steps of a view without schedule.
    """
    is_code = view.user_code is not None
    found: dict[bool, list[tuple[Interval, Touched]]] = {True: [], False: []}
    for one, reach in dict.fromkeys(touched):
        span = affected(view, reach, one.times)
        clipped = span if within is None else span.intersect(within)
        is_whole = is_code or not one.keys_known or reach is Reach.EVERYTHING
        found[is_whole] += [(part, one) for part in _parts(view, coverage, clipped, runs)]
    whole = Coverage.of(part for part, _ in found[True])
    keyed = Coverage.of(part for part, _ in found[False])
    keyed = Coverage.of(part for stretch in keyed for part in whole.missing(stretch))
    repairs = []
    for parts, is_whole in ((whole, True), (keyed, False)):
        for interval in (piece for part in parts for piece in _pieces(view, part, runs, most_steps)):
            about = tuple(dict.fromkeys(one for part, one in found[is_whole] if part.intersect(interval)))
            stretch = coverage.stretch_at(interval.start)
            first = stretch is not None and stretch.start == interval.start
            repairs.append(Repair(interval=interval, first=first, whole=is_whole, touched=about))
    return tuple(sorted(repairs, key=lambda repair: repair.interval))


def _parts(view: ViewNode, coverage: Coverage, span: Interval | None, runs: Sequence[Interval]) -> Iterator[Interval]:
    """Give the covered steps of a range, stretch by stretch."""
    if span is None:
        return
    if view.schedule is None and not isinstance(view.transformation, Passthrough):
        yield from (run for run in runs if run.intersect(span) is not None)
        return
    for stretch in coverage:
        part = stretch.intersect(span)
        if part is not None:
            yield part


def _pieces(view: ViewNode, part: Interval, runs: Sequence[Interval], most: int) -> Iterator[Interval]:
    """Cut a range into pieces of at most ``most`` steps; what doesn't lie on the grid is a piece of its own."""
    if view.schedule is None:
        inside = [run for run in runs if run.intersect(part) is not None]
        is_plain = isinstance(view.transformation, Passthrough)
        yield from [part] if is_plain else dict.fromkeys(inside)
        return
    start, count, cursor = part.start, 0, part.start
    while cursor < part.end:
        end = min(view.schedule.next(cursor), part.end)
        is_whole_step = view.schedule.is_on_grid(cursor) and view.schedule.is_on_grid(end)
        if cursor > start and (count == most or not is_whole_step):
            yield Interval(start, cursor)
            start, count = cursor, 0
        count, cursor = count + 1, end
        if not is_whole_step:
            yield Interval(start, cursor)
            start, count = cursor, 0
    if start < part.end:
        yield Interval(start, part.end)
