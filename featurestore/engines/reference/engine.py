"""The oracle behind the engine protocol: sources are lists of rows in memory, frames are lists of rows by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias

from featurestore.engines.base import ComputedStep, ComputeRequest, SourcePin
from featurestore.engines.reference.events import EventSourceNode, events_by_key, queried_events
from featurestore.engines.reference.feature_rows import FeatureRow, Predicates, aggregate_rows, plain_rows
from featurestore.intervals import Interval
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.nodes import Passthrough, SourceInput, SourceNode, ViewNode

__all__ = ["Frame", "Query", "ReferenceEngine"]

Frame: TypeAlias = list[Mapping[str, Any]]
Query: TypeAlias = Callable[[Mapping[str, Frame]], Frame]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEngine:
    """Computes plain and aggregate views over rows given by source name, columns under their names in views.

    ``predicates`` says in Python what each ``where=`` of the views says in SQL; ``queries``, by view, what its query
    makes of all rows of its inputs: keys, event_timestamp, and the columns that are aggregated.
    """

    sources: Mapping[str, EventSourceNode]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    predicates: Predicates = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)

    def pin(self, source: SourceNode) -> SourcePin:
        """Name the present state: how many rows there are, as rows are only ever added."""
        return SourcePin(source=source.name, kind="memory", state={"rows": len(self.rows[source.name])})

    def compute(self, request: ComputeRequest[Frame]) -> ComputedStep[Frame]:
        """Compute the rows of one run; TypeError for a view with user code."""
        view, interval = request.view, request.interval
        names = _sources_of(view)
        source, read = self.sources[names[0]], {name: self._read(name, request) for name in names}
        if view.name in self.queries:
            events = queried_events(view, self.queries[view.name](read))
        else:
            events = events_by_key(view, source, read[source.name])
        if view.is_aggregate:
            rows = [
                replace(row, created_timestamp=request.created_at(row.event_timestamp))
                for row in aggregate_rows(view, events, interval, first=request.first, predicates=self.predicates)
            ]
            event_range = Interval(interval.start + _MICROSECOND, interval.end + _MICROSECOND)
        else:
            steps = () if view.schedule is None else tuple(view.schedule.steps(interval))
            is_whole = bool(steps) and (steps[0].start, steps[-1].end) == (interval.start, interval.end)
            rows, event_range = [], interval
            for step in steps if is_whole else (interval,):
                rows += plain_rows(view, events, step, created=request.created_at(step.end))
        return ComputedStep(
            rows=[_columns(view, row) for row in rows],
            raw=[row for row in read[source.name] if row[source.timestamp_field or ""] in interval],
            event_range=event_range,
            metrics=lambda: {"rows": len(rows)},
        )

    def _read(self, name: str, request: ComputeRequest[Frame]) -> Frame:
        pin = request.pins.get(name)
        return list(self.rows[name])[: None if pin is None else pin.state["rows"]]


def _columns(view: ViewNode, row: FeatureRow) -> Mapping[str, Any]:
    return {
        **{key.name: value for key, value in zip(view.join_keys, row.key, strict=True)},
        EVENT_TIMESTAMP: row.event_timestamp,
        CREATED_TIMESTAMP: row.created_timestamp,
        **{feature.name: value for feature, value in zip(view.features, row.values, strict=True)},
    }


def _sources_of(view: ViewNode) -> list[str]:
    names = [entry.source for entry in view.inputs if isinstance(entry, SourceInput)]
    if len(names) != len(view.inputs) or not (view.is_aggregate or isinstance(view.transformation, Passthrough)):
        raise TypeError(f"view {view.name!r} has user code or other views as inputs; the oracle runs neither")
    return names
