"""What upkeep does to one Delta table, and why, decided from its log alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from featurestore.intervals import show_duration, show_instant

__all__ = ["Compaction", "Hold", "TableState", "UpkeepPolicy", "UpkeepStep", "Vacuum", "plan_table"]

_MIB = 1 << 20
_MARGIN = timedelta(hours=1)
"""Clocks differ, of machines and of file systems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepPolicy:
    """Files below half the target are small; ``min_small_files`` of them are worth a job.

    Files that a compaction replaced stay for ``retention``: readers that began before go on with them.
    """

    target_file_bytes: int
    min_small_files: int
    retention: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Someone may read files that were replaced at ``since`` or later."""

    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """A table as its log has it: sizes of its files, obsolete files past the retention, properties that it lacks."""

    delta_version: int
    sizes: tuple[int, ...]
    obsolete: int
    stale_properties: Mapping[str, str] = field(default_factory=dict)
    clusters_anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """Merge small files; ``reason`` says what it saves, or why it does not pay."""

    pays: bool
    files: int
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuum:
    """Delete obsolete files; ``reason`` says how many, or why not."""

    pays: bool
    files: int
    retention: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepStep:
    """What is to be done to one table; ``properties`` of an older release are brought up to date first."""

    table: str
    compaction: Compaction
    vacuum: Vacuum
    properties: Mapping[str, str] = field(default_factory=dict)
    clusters_anew: bool = False

    @property
    def is_due(self) -> bool:
        return self.compaction.pays or self.vacuum.pays or bool(self.properties) or self.clusters_anew

    def to_dict(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "properties": dict(self.properties),
            "clusters_anew": self.clusters_anew,
            "compaction": {
                "pays": self.compaction.pays,
                "files": self.compaction.files,
                "bytes": self.compaction.bytes,
                "reason": self.compaction.reason,
            },
            "vacuum": {
                "pays": self.vacuum.pays,
                "files": self.vacuum.files,
                "retention_hours": self.vacuum.retention.total_seconds() / 3600,
                "reason": self.vacuum.reason,
            },
        }


def plan_table(
    table: str, state: TableState, policy: UpkeepPolicy, holds: Iterable[Hold], *, now: datetime
) -> UpkeepStep:
    """Decide on one table. No hold is ever broken: a file that one may need stays until the hold is gone."""
    return UpkeepStep(
        table=table,
        compaction=_compaction(state.sizes, policy),
        vacuum=_vacuum(state, policy, holds, now=now),
        properties=state.stale_properties,
        clusters_anew=state.clusters_anew,
    )


def _compaction(sizes: Sequence[int], policy: UpkeepPolicy) -> Compaction:
    small = [size for size in sizes if size < policy.target_file_bytes / 2]
    total = sum(small)
    after = max(-(-total // policy.target_file_bytes), 1)
    limit = policy.target_file_bytes // 2 / _MIB
    found = f"{len(small)} of {len(sizes)} files are below {limit:g} MiB"
    pays = len(small) >= policy.min_small_files and after < len(small)
    if pays:
        reason = f"{found}; their {total / _MIB:.1f} MiB fit into {after}"
    else:
        reason = f"{found}; from {policy.min_small_files} on they are merged"
    return Compaction(pays=pays, files=len(small), bytes=total, reason=reason)


def _vacuum(state: TableState, policy: UpkeepPolicy, holds: Iterable[Hold], *, now: datetime) -> Vacuum:
    oldest = min(holds, key=lambda hold: hold.since, default=None)
    pays = False
    kept = show_duration(policy.retention)
    if not state.obsolete:
        reason = f"no file was replaced more than {kept} ago"
    elif oldest is not None and oldest.since < now - policy.retention + _MARGIN:
        # Lengthening the retention would not do: Delta forgets after its own retention which files were replaced when.
        reason = (
            f"{state.obsolete} files were replaced more than {kept} ago, but those replaced since "
            f"{show_instant(oldest.since)} are needed: {oldest.reason}"
        )
    else:
        pays = True
        reason = f"{state.obsolete} files were replaced more than {kept} ago, and nothing needs them"
    return Vacuum(pays=pays, files=state.obsolete, retention=policy.retention, reason=reason)
