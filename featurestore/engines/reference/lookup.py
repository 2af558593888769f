"""What a read at an instant answers, offline and online alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from featurestore.engines.reference.events import Key
from featurestore.engines.reference.feature_rows import FeatureRow, is_emptied
from featurestore.engines.reference.values import rank
from featurestore.intervals import Coverage
from featurestore.ir.nodes import Aggregations, ViewNode

__all__ = ["Availability", "as_of", "holds", "point_in_time"]

Availability: TypeAlias = Literal["event", "scheduled"]


def point_in_time(
    spine: Iterable[tuple[Key, datetime]],
    rows: Sequence[FeatureRow],
    view: ViewNode,
    coverage: Coverage,
    *,
    created_before_event: bool = False,
    availability: Availability = "event",
) -> list[tuple[Any, ...]]:
    """Answer each (key, instant) in the order asked: the features, all None where there is no value."""
    nothing = (None,) * len(view.features)
    answers = []
    for key, instant in spine:
        found = as_of(
            rows, key, instant, view, coverage, created_before_event=created_before_event, availability=availability
        )
        answers.append(nothing if found is None else found.values)
    return answers


def as_of(
    rows: Iterable[FeatureRow],
    key: Key,
    instant: datetime,
    view: ViewNode,
    coverage: Coverage,
    *,
    created_before_event: bool = False,
    availability: Availability = "event",
) -> FeatureRow | None:
    """Find the row that speaks for a key at an instant: the newest that is known, not deleted and not expired."""
    if None in key:
        return None
    newest: dict[datetime, FeatureRow] = {}
    for row in rows:
        if row.key != key or row.event_timestamp > instant:
            continue
        if created_before_event and row.created_timestamp > instant:
            continue
        if availability == "scheduled" and _available_from(view, row) > instant:
            continue
        stands = newest.get(row.event_timestamp)
        if stands is None or _statement_order(stands) < _statement_order(row):
            newest[row.event_timestamp] = row
    standing = [row for row in newest.values() if not row.is_deleted]
    if not standing:
        return None
    row = max(standing, key=lambda row: row.event_timestamp)
    return None if _is_expired(row, instant, view, coverage) else row


def holds(view: ViewNode, row: FeatureRow) -> bool:
    """Say whether a row holds until its key's next row: an aggregate's, unless its values are those of no events."""
    return isinstance(view.transformation, Aggregations) and not is_emptied(view, row.values)


def _statement_order(row: FeatureRow) -> tuple[Any, ...]:
    return (row.created_timestamp, row.is_deleted, rank(row.values))


def _available_from(view: ViewNode, row: FeatureRow) -> datetime:
    """Give the end of the step that computes a row, plus the view's data delay."""
    if view.schedule is None:
        return row.event_timestamp + view.data_delay
    step_end = row.event_timestamp if view.is_aggregate else view.schedule.next(row.event_timestamp)
    return step_end + view.data_delay


def _is_expired(row: FeatureRow, instant: datetime, view: ViewNode, coverage: Coverage) -> bool:
    life: timedelta | None = view.ttl
    held_until = row.event_timestamp
    if view.is_aggregate and holds(view, row):
        held_until = min(instant, _end_of_stretch(row.event_timestamp, coverage))
    elif view.is_aggregate:
        life = view.ttl or view.longest_window
    return bool(life) and life is not None and instant - held_until > life


def _end_of_stretch(step_end: datetime, coverage: Coverage) -> datetime:
    """Find the stretch whose steps include this one; a row outside all of them holds no longer than itself."""
    return next((stretch.end for stretch in coverage if stretch.start < step_end <= stretch.end), step_end)
