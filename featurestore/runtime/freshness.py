"""How old each view's values are, for tables, for readers, and against the view's objective."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from featurestore.codec.pointer import Pointer
from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.intervals import Interval, from_micros, show_instant
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import StoredViewNode
from featurestore.plan.missing import missing_steps
from featurestore.plan.readiness import raw_sources
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.pointer import read_pointer
from featurestore.stores.time_bounds import delta_bounds, source_watermark

__all__ = ["ViewFreshness", "project_freshness", "view_freshness"]

_INSTANTS = ("covered_until", "published_until", "served_until", "newest_event", "oldest_event", "watermark")
_DURATIONS = ("age", "newest_age", "oldest_age", "objective", "lag")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFreshness:
    """One view at ``at``; None stands for what is not known or not there.

    ``newest_event`` and ``oldest_event`` are those of the table's rows, superseded ones included. ``watermark`` is how
    far the sources reach: the least of their greatest event times. ``served_until`` is the coverage that readers are
    told, from the pointer record. ``age`` counts from ``covered_until``, up to which all values are confirmed.
    """

    view: str
    at: datetime
    covered_until: datetime | None
    published_until: datetime | None
    served_until: datetime | None
    newest_event: datetime | None
    oldest_event: datetime | None
    watermark: datetime | None
    objective: timedelta | None
    missing: tuple[Interval, ...]

    @property
    def age(self) -> timedelta | None:
        return self._since(self.covered_until)

    @property
    def newest_age(self) -> timedelta | None:
        return self._since(self.newest_event)

    @property
    def oldest_age(self) -> timedelta | None:
        return self._since(self.oldest_event)

    @property
    def lag(self) -> timedelta | None:
        """By how much the age exceeds the objective; zero where it does not."""
        if self.objective is None or self.age is None:
            return None
        return max(self.age - self.objective, timedelta(0))

    @property
    def is_fresh(self) -> bool | None:
        """None without an objective; False where nothing is covered yet."""
        if self.objective is None:
            return None
        return self.age is not None and self.age <= self.objective

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values: instants as text, durations as seconds."""
        instants = {name: None if (found := getattr(self, name)) is None else show_instant(found) for name in _INSTANTS}
        durations = {
            f"{name}_seconds": None if (found := getattr(self, name)) is None else found.total_seconds()
            for name in _DURATIONS
        }
        missing = [[show_instant(part.start), show_instant(part.end)] for part in self.missing]
        return {**instants, **durations, "fresh": self.is_fresh, "missing_intervals": missing}

    def _since(self, instant: datetime | None) -> timedelta | None:
        return None if instant is None else max(self.at - instant, timedelta(0))


def project_freshness(context: RuntimeContext) -> dict[str, ViewFreshness]:
    """Look at ledger, pointer record and statistics of all views; nothing is scanned, and no Spark is started."""
    pointer = _pointer(context)
    return {view.name: view_freshness(context, view, pointer) for view in context.manifest.stored_views()}


def view_freshness(context: RuntimeContext, view: StoredViewNode, pointer: Pointer | None) -> ViewFreshness:
    """Look at one view; ``pointer`` is what readers are told at the moment."""
    now = context.clock()
    coverage = context.ledger.coverage(view.name, view.version)
    publications = context.ledger.publications(view.name, view.version)
    pointed = None if pointer is None else pointer.views.get(view.name)
    served = pointed.covered_until_us if pointed is not None and pointed.version == view.version else None
    bounds = delta_bounds(context.table_path(view), EVENT_TIMESTAMP)
    has_steps = view.start is not None and view.start < now
    return ViewFreshness(
        view=view.name,
        at=now,
        covered_until=coverage.end,
        published_until=publications[-1].covered_until if publications else None,
        served_until=None if served is None else from_micros(served),
        newest_event=bounds[1] if bounds else None,
        oldest_event=bounds[0] if bounds else None,
        watermark=_watermark(context, view),
        objective=view.freshness,
        missing=missing_steps(view, coverage, Interval(view.start, now)) if view.start and has_steps else (),
    )


def _watermark(context: RuntimeContext, view: StoredViewNode) -> datetime | None:
    sources = [source for source in raw_sources(context.manifest, view) if source.timestamp_field is not None]
    reached = [source_watermark(source, context.settings.absolute) for source in sources]
    known = [instant for instant in reached if instant is not None]
    return min(known) if known and len(known) == len(sources) else None


def _pointer(context: RuntimeContext) -> Pointer | None:
    """Give what readers are told; a store that is down tells nobody anything, and the rest is known all the same."""
    try:
        return read_pointer(context)
    except (OnlineStoreUnavailable, DeadlineExceeded):
        return None
