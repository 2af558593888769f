"""The point-in-time join as the semantics say it, row by row in plain Python: the oracle for the engine's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from featurestore.engines.spark.statements import HistoricalLookup
from featurestore.intervals import Coverage
from featurestore.ir.nodes import ViewNode
from featurestore.ir.windows import emptied_expiry, holding_counts

__all__ = ["Statement", "as_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One table row of one key; ``values`` in the order of the view's features."""

    event: datetime
    created: datetime
    is_deleted: bool
    values: tuple[Any, ...]


def as_of(lookup: HistoricalLookup, statements: Sequence[Statement], instant: datetime) -> tuple[Any, ...]:
    """Give the values of one key at ``instant``, all None where there is nothing to give."""
    view = lookup.view
    assert isinstance(view, ViewNode)
    nothing = (None,) * len(view.features)
    visible = [s for s in statements if _counts_from(lookup, s) <= instant]
    considered = visible if lookup.created_before_event else statements
    standing = []
    for event in {s.event for s in visible}:
        last = max((s for s in considered if s.event == event), key=_order)
        if not last.is_deleted:
            standing.append(last)
    if not standing:
        return nothing
    newest = max(standing, key=lambda s: s.event)
    return nothing if _is_expired(view, lookup.coverage, newest, instant) else newest.values


def _counts_from(lookup: HistoricalLookup, statement: Statement) -> datetime:
    view, counts = lookup.view, statement.event
    assert isinstance(view, ViewNode)
    if lookup.availability == "scheduled":
        assert view.schedule is not None
        counts = (counts if view.is_aggregate else view.schedule.next(counts)) + view.data_delay
    return max(counts, statement.created) if lookup.created_before_event else counts


def _order(statement: Statement) -> tuple[Any, ...]:
    return (statement.created, statement.is_deleted, [(v is not None, v or 0) for v in statement.values])


def _is_expired(view: ViewNode, coverage: Coverage, row: Statement, instant: datetime) -> bool:
    held, ttl = row.event, view.ttl
    if view.is_aggregate:
        counts = holding_counts(view)
        pairs = zip(view.features, row.values, strict=True)
        if all(value == 0 if feature.name in counts else value is None for feature, value in pairs):
            ttl = emptied_expiry(view)
        else:
            held = min(instant, _stretch_end(coverage, row.event))
    return bool(ttl) and instant - held > (ttl or timedelta(0))


def _stretch_end(coverage: Coverage, event: datetime) -> datetime:
    ends = [stretch.end for stretch in coverage if stretch.start < event <= stretch.end]
    return ends[0] if ends else event
