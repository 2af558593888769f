"""The rows of a view's table, from all events of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from featurestore.engines.reference.aggregations import WindowRow, aggregate
from featurestore.engines.reference.events import Events, Key, SourceEvent
from featurestore.engines.reference.values import same
from featurestore.intervals import Interval
from featurestore.ir.nodes import AggregationNode, Aggregations, ViewNode
from featurestore.ir.schedule import ScheduleNode
from featurestore.spec.aggregation import AggregationFunction

__all__ = ["FeatureRow", "Predicates", "aggregate_rows", "is_emptied", "plain_rows", "window_values"]

_COUNTS = (AggregationFunction.COUNT, AggregationFunction.COUNT_DISTINCT, AggregationFunction.APPROX_COUNT_DISTINCT)

Predicates: TypeAlias = Mapping[str, Callable[[Mapping[str, Any]], bool | None]]
"""What each SQL predicate means, by its text; null is not true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """A statement: from ``event_timestamp`` on, the key's features have these values (in the view's order)."""

    key: Key
    event_timestamp: datetime
    created_timestamp: datetime
    values: tuple[Any, ...]
    is_deleted: bool = False


def plain_rows(view: ViewNode, events: Events, interval: Interval, *, created: datetime) -> list[FeatureRow]:
    """Give the source's rows of an interval; ``created`` is for rows that do not say when they were made."""
    return [
        FeatureRow(
            key=key,
            event_timestamp=event.timestamp,
            created_timestamp=created if event.created is None else event.created,
            values=tuple(event.columns[feature.name] for feature in view.features),
        )
        for key, about_key in events.items()
        for event in about_key
        if event.timestamp in interval
    ]


def aggregate_rows(
    view: ViewNode,
    events: Events,
    interval: Interval,
    *,
    first: bool,
    created: datetime | None = None,
    predicates: Predicates | None = None,
) -> list[FeatureRow]:
    """Give the rows of the steps of an interval: those whose value differs from the step before.

    ``first``: the first step begins a covered stretch, so every key with a value there has a row, equal to the step
    before or not. A key that ran empty there has one too, as in any step: what it had before may be computed later.
    ``created`` None stamps each row as a first computation: its step end + data delay.
    """
    rows = []
    for position, step in enumerate(_schedule(view).steps(interval)):
        for key, about_key in events.items():
            values = window_values(view, about_key, step.end, predicates or {})
            if _is_stated(view, about_key, step, values, all_present=first and position == 0, predicates=predicates):
                stamp = step.end + view.data_delay if created is None else created
                rows.append(FeatureRow(key=key, event_timestamp=step.end, created_timestamp=stamp, values=values))
    return rows


def window_values(
    view: ViewNode, about_key: list[SourceEvent], end: datetime, predicates: Predicates
) -> tuple[Any, ...]:
    """Give a key's features at a step end, each over the events of its own window."""
    by_name = {}
    for item in _items(view):
        rows = [_window_row(item, event) for event in _within(item, about_key, end) if _counts(item, event, predicates)]
        by_name[item.name] = aggregate(item, rows)
    return tuple(by_name[feature.name] for feature in view.features)


def is_emptied(view: ViewNode, values: tuple[Any, ...]) -> bool:
    """Say whether values are those of no events: counts 0, all else null."""
    counts = {item.name for item in _items(view) if item.function in _COUNTS}
    pairs = zip(view.features, values, strict=True)
    return all(value == 0 if feature.name in counts else value is None for feature, value in pairs)


def _is_stated(
    view: ViewNode,
    about_key: list[SourceEvent],
    step: Interval,
    values: tuple[Any, ...],
    *,
    all_present: bool,
    predicates: Predicates | None,
) -> bool:
    """Say whether a step end has a row.

    A key that comes into its windows has one, even if only nulls came: it is known from then on. With ``all_present``
    so has one that was in them, unless its values are those of no events: such a row does not hold, so a second one
    would answer for longer than the first. Otherwise values decide, and a key that fell out of all windows has the
    values of no events.
    """
    is_present, was_present = (_has_events(view, about_key, end) for end in (step.end, step.start))
    if is_present and (not was_present or (all_present and not is_emptied(view, values))):
        return True
    return was_present and not same(values, window_values(view, about_key, step.start, predicates or {}))


def _has_events(view: ViewNode, about_key: list[SourceEvent], end: datetime) -> bool:
    return any(True for item in _items(view) for _ in _within(item, about_key, end))


def _within(item: AggregationNode, about_key: list[SourceEvent], end: datetime) -> Iterator[SourceEvent]:
    for event in about_key:
        if event.timestamp < end and (item.window is None or end - item.window <= event.timestamp):
            yield event


def _counts(item: AggregationNode, event: SourceEvent, predicates: Predicates) -> bool:
    return item.where is None or predicates[item.where](event.columns) is True


def _window_row(item: AggregationNode, event: SourceEvent) -> WindowRow:
    value = True if item.column is None else event.columns[item.column]
    return WindowRow(timestamp=event.timestamp, created=event.created, value=value)


def _items(view: ViewNode) -> tuple[AggregationNode, ...]:
    if not isinstance(view.transformation, Aggregations):
        raise TypeError(f"view {view.name!r} has no aggregations")
    return view.transformation.items


def _schedule(view: ViewNode) -> ScheduleNode:
    if view.schedule is None:
        raise ValueError(f"view {view.name!r} has no schedule, so no steps")
    return view.schedule
