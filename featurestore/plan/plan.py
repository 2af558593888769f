"""The plan of an apply: what changes, what is then to be computed, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from featurestore.ir.manifest import Manifest
from featurestore.plan.diff import Change, ChangeKind, diff_manifests
from featurestore.plan.work import History, Statistics, ViewWork, Works

__all__ = ["Plan", "build_plan"]


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
    statistics: Statistics | None = None,
) -> Plan:
    """Compare the applied manifest with a compiled one, and find the steps that have ended and are not covered.

    ``applied`` maps (view, fingerprint) to the version that had it, so that going back to earlier definitions finds
    their data; without it only the applied manifest's versions are known. ``statistics`` of stored data say what has no
    history yet.
    """
    changes = diff_manifests(old, new)
    versions = {(view.name, view.fingerprint): view.version for view in old.stored_views()} if old else {}
    versions |= applied or {}
    works = Works(manifest=new, versions=versions, ledger=ledger, statistics=statistics)
    work = tuple(found for view in new.stored_views() if (found := works.of(view, now)) is not None)
    said = (*(str(warning) for warning in warnings), *_warnings(old, new, changes))
    return Plan(project=new.project, changes=changes, work=work, warnings=said)


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
