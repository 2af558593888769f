"""The steps of a view that are due, and about what they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Protocol

from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    DeltaSourceNode,
    FileSourceNode,
    Passthrough,
    PredictionViewNode,
    StoredViewNode,
    ViewNode,
)
from featurestore.ir.windows import looks_back_to
from featurestore.plan.amounts import SourcePart, amount_within
from featurestore.plan.chunks import Part, join_parts, steps_per_run
from featurestore.plan.cost import PastRun, StepCost, WorkCost, core_seconds_a_byte, step_cost, work_cost
from featurestore.plan.memory import PastPublication, online_bytes
from featurestore.plan.missing import missing_steps
from featurestore.plan.readiness import raw_sources

__all__ = ["History", "Statistics", "ViewWork", "Works"]


class History(Protocol):
    """What a plan asks of the ledger; ``stores.base.LedgerReader`` is one."""

    def coverage(self, view: str, version: int) -> Coverage: ...

    def runs(self, view: str, version: int, within: Interval | None = None) -> Sequence[PastRun]: ...

    def publications(self, view: str, version: int) -> Sequence[PastPublication]: ...


class Statistics(Protocol):
    """What a plan asks of stored data; it is asked only about views that have something to compute."""

    def source_parts(self, source: FileSourceNode | DeltaSourceNode) -> Sequence[SourcePart] | None: ...

    def row_bytes(self, view: StoredViewNode) -> float | None:
        """Give the bytes of a row in a version's Delta table; None where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewWork:
    """The steps of one view that have ended and are not computed; ``is_new`` says that the version has no data yet.

    ``cost`` is about what the steps take; ``online_bytes`` what a new version takes in the online store beside the one
    before, by that one's size.
    """

    view: str
    is_prediction: bool
    is_new: bool
    steps: int
    ranges: tuple[Interval, ...]
    cost: WorkCost = field(default_factory=WorkCost)
    is_online: bool = False
    online_bytes: int | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Name what cannot be estimated yet."""
        figures = {
            "rows": self.cost.rows,
            "time": self.cost.seconds,
            "core-minutes": self.cost.core_seconds,
            "bytes read": self.cost.read_bytes,
            "bytes in Delta": self.cost.delta_bytes,
        }
        if self.is_new and self.is_online:
            figures["Redis"] = self.online_bytes
        return tuple(name for name, value in figures.items() if value is None)


@dataclass(frozen=True, kw_only=True)
class Works:
    """Finds the work of views: ``versions`` maps (view, fingerprint) to the version that had it."""

    manifest: Manifest
    versions: Mapping[tuple[str, str], int]
    ledger: History
    statistics: Statistics | None

    def of(self, view: StoredViewNode, now: datetime) -> ViewWork | None:
        """Give the steps that have ended and are not covered; None where there are none."""
        version = self.versions.get((view.name, view.fingerprint))
        coverage = self.ledger.coverage(view.name, version) if version else Coverage()
        steps = _ended_steps(view, coverage, now)
        if not steps:
            return None
        earlier = list(self._earlier(view))
        sizes = (online_bytes(self.ledger.publications(view.name, node.version)) for node in earlier)
        return ViewWork(
            view=view.name,
            is_prediction=isinstance(view, PredictionViewNode),
            is_new=not coverage,
            steps=len(steps),
            ranges=Coverage.of(steps).stretches,
            cost=self._by_history(earlier, len(steps)) or self._by_statistics(view, steps),
            is_online=isinstance(view, PredictionViewNode) or view.online,
            online_bytes=None if version else next((size for size in sizes if size is not None), None),
        )

    def _earlier(self, view: StoredViewNode) -> Iterator[StoredViewNode]:
        """Give the versions of a view, as far as their name, number and table go: its own first, then the newest."""
        known = [(fingerprint, number) for (name, fingerprint), number in self.versions.items() if name == view.name]
        for fingerprint, number in sorted(known, key=lambda k: (k[0] == view.fingerprint, k[1]), reverse=True):
            yield replace(view, fingerprint=fingerprint, version=number)

    def _by_history(self, earlier: Sequence[StoredViewNode], steps: int) -> WorkCost | None:
        for node in earlier:
            history: StepCost | None = step_cost(self.ledger.runs(node.name, node.version))
            if history is not None:
                row_bytes = None if self.statistics is None else self.statistics.row_bytes(node)
                return work_cost(history, steps, version=node.version, row_bytes=row_bytes)
        return None

    def _by_statistics(self, view: StoredViewNode, steps: Sequence[Interval]) -> WorkCost:
        """Say what its runs will read, and what runs of other views took for as many bytes."""
        sources = raw_sources(self.manifest, view)
        parts = {} if self.statistics is None else {s.name: self.statistics.source_parts(s) for s in sources}
        if not parts or None in parts.values() or not isinstance(view, ViewNode):
            return WorkCost()
        every = [part for found in parts.values() for part in found or ()]
        read = amount_within(every, _read_by_runs(view, steps))
        rows = amount_within(every, Coverage.of(steps).stretches).rows
        rate = self._rate
        basis = f"statistics of {', '.join(sorted(parts))}"
        return WorkCost(
            basis=basis if rate is None else f"{basis}, core-minutes by other views' runs",
            rows=round(rows) if rows is not None and isinstance(view.transformation, Passthrough) else None,
            core_seconds=None if rate is None else read.size * rate,
            read_bytes=round(read.size),
        )

    @cached_property
    def _rate(self) -> float | None:
        return core_seconds_a_byte(
            run for (name, _), version in self.versions.items() for run in self.ledger.runs(name, version)
        )


def _read_by_runs(view: ViewNode, steps: Sequence[Interval]) -> list[Interval]:
    """Give the event times that each run of the steps reads, windows included."""
    parts = (Part(interval=step, first=False, covered=False) for step in steps)
    runs = join_parts(parts, steps_per_run(view, None))
    begins = {step.start: looks_back_to(view, step) for step in steps}
    return [Interval(begins[run.interval.start], run.interval.end) for run in runs]


def _ended_steps(view: StoredViewNode, coverage: Coverage, now: datetime) -> tuple[Interval, ...]:
    if view.schedule is None or view.start is None or view.start >= now:
        return ()
    return missing_steps(view, coverage, Interval(view.start, now))
