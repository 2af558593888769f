"""The plan of an apply: what changes, what is then to be computed, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Protocol

from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode
from featurestore.plan.diff import Change, ChangeKind, diff_manifests
from featurestore.plan.memory import PastPublication, online_bytes
from featurestore.plan.missing import missing_steps

__all__ = ["Estimate", "History", "PastRun", "Plan", "ViewWork", "build_plan"]

_SAMPLE = 30
"""An estimate looks at this many of a view's last runs."""


class PastRun(Protocol):
    """A ledger row as estimates see it; ``delta_version`` is None unless the run is done."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def delta_version(self) -> int | None: ...
    @property
    def claimed_at(self) -> datetime | None: ...
    @property
    def updated_at(self) -> datetime: ...


class History(Protocol):
    """What a plan asks of the ledger; ``stores.base.LedgerReader`` is one."""

    def coverage(self, view: str, version: int) -> Coverage: ...

    def runs(self, view: str, version: int, within: Interval | None = None) -> Sequence[PastRun]: ...

    def publications(self, view: str, version: int) -> Sequence[PastPublication]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one step took in the median of ``runs`` earlier ones; None where those did not say."""

    runs: int
    rows: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewWork:
    """The steps of one view that have ended and are not computed; ``is_new`` says that the version has no data yet.

    ``online_bytes`` is about what a new version takes in the online store beside the one before, by that one's size.
    """

    view: str
    is_prediction: bool
    is_new: bool
    steps: int
    ranges: tuple[Interval, ...]
    estimate: Estimate | None = None
    online_bytes: int | None = None

    @property
    def rows(self) -> int | None:
        return None if self.estimate is None or self.estimate.rows is None else self.estimate.rows * self.steps

    @property
    def seconds(self) -> float | None:
        return None if self.estimate is None or self.estimate.seconds is None else self.estimate.seconds * self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An inert value: ``format_plan`` shows it, ``plan_to_dict`` gives it as JSON values."""

    project: str
    changes: tuple[Change, ...]
    work: tuple[ViewWork, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.changes and not self.work

    @property
    def steps(self) -> int:
        return sum(work.steps for work in self.work)


def build_plan(
    old: Manifest | None,
    new: Manifest,
    *,
    ledger: History,
    now: datetime,
    warnings: Sequence[object] = (),
    applied: Mapping[tuple[str, str], int] | None = None,
) -> Plan:
    """Compare the applied manifest with a compiled one, and find the steps that have ended and are not covered.

    ``applied`` maps (view, fingerprint) to the version that had it, so that going back to earlier definitions finds
    their data; without it only the applied manifest's versions are known.
    """
    changes = diff_manifests(old, new)
    versions = {(view.name, view.fingerprint): view.version for view in old.stored_views()} if old else {}
    versions |= applied or {}
    work = []
    for view in new.stored_views():
        version = versions.get((view.name, view.fingerprint))
        coverage = ledger.coverage(view.name, version) if version else Coverage()
        steps = _ended_steps(view, coverage, now)
        if steps:
            known = version or _last_version(old, view.name)
            work.append(
                ViewWork(
                    view=view.name,
                    is_prediction=isinstance(view, PredictionViewNode),
                    is_new=not coverage,
                    steps=len(steps),
                    ranges=Coverage.of(steps).stretches,
                    estimate=_estimate(ledger, view.name, known) if known else None,
                    online_bytes=online_bytes(ledger.publications(view.name, known)) if known and not version else None,
                )
            )
    said = (*(str(warning) for warning in warnings), *_warnings(old, new, changes))
    return Plan(project=new.project, changes=changes, work=tuple(work), warnings=said)


def _ended_steps(view: StoredViewNode, coverage: Coverage, now: datetime) -> tuple[Interval, ...]:
    if view.schedule is None or view.start is None or view.start >= now:
        return ()
    return missing_steps(view, coverage, Interval(view.start, now))


def _last_version(old: Manifest | None, name: str) -> int | None:
    found = old and (old.views.get(name) or old.prediction_views.get(name))
    return found.version if found else None


def _estimate(ledger: History, view: str, version: int) -> Estimate | None:
    done = [run for run in ledger.runs(view, version) if run.delta_version is not None][-_SAMPLE:]
    if not done:
        return None
    rows = [run.counts["rows_appended"] for run in done if "rows_appended" in run.counts]
    seconds = [(run.updated_at - run.claimed_at).total_seconds() for run in done if run.claimed_at is not None]
    return Estimate(
        runs=len(done),
        rows=round(median(rows)) if rows else None,
        seconds=median(seconds) if seconds else None,
    )


def _warnings(old: Manifest | None, new: Manifest, changes: Sequence[Change]) -> Iterator[str]:
    for view in new.stored_views():
        if view.schedule is not None and view.start is None:
            yield f"{view.name} has a schedule but no start, so no step is due; give it start="
    if old is None:
        return
    created = {change.name for change in changes if change.kind is ChangeKind.CREATED}
    for change in changes:
        if change.kind is not ChangeKind.REMOVED or not change.affects_data:
            continue
        gone = old.stored_view(change.name)
        yield f"{change.name} is removed: lookups of it fail from then on; its table and its online rows stay"
        for twin in new.stored_views():
            if twin.name in created and twin.fingerprint == gone.fingerprint:
                yield f"{twin.name} equals {change.name} under another name; its data is computed anew"
