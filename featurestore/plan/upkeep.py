"""What upkeep does to one Delta table, and why, decided from its log alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from featurestore.intervals import show_duration, show_instant
from featurestore.plan.tile_upkeep import ObsoleteTiles

__all__ = ["Compaction", "Hold", "Removal", "TableState", "UpkeepPolicy", "UpkeepStep", "Vacuum", "plan_table"]

_MIB = 1 << 20
_MARGIN = timedelta(hours=1)
"""Clocks differ, of machines and of file systems."""
_OBSOLETE_SHARE = 0.2
"""From this share of a tile table's rows on, those that count no more are worth a job that writes files again."""


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
    """A table as its log has it: sizes of its files by folder, obsolete files past the retention, stale properties."""

    delta_version: int
    folders: tuple[tuple[int, ...], ...]
    obsolete: int
    stale_properties: Mapping[str, str] = field(default_factory=dict)
    clusters_anew: bool = False
    tiles: ObsoleteTiles | None = None


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
class Removal:
    """Delete rows that count no more: about so many as the log tells; ``reason`` says which, or why not."""

    pays: bool
    rows: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepStep:
    """What is to be done to one table; ``properties`` of an older release are brought up to date first.

    No ``removal``: all rows of the table count.
    """

    table: str
    compaction: Compaction
    vacuum: Vacuum
    removal: Removal | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    clusters_anew: bool = False

    @property
    def is_due(self) -> bool:
        removes = self.removal is not None and self.removal.pays
        return self.compaction.pays or self.vacuum.pays or removes or bool(self.properties) or self.clusters_anew

    def to_dict(self) -> dict[str, Any]:
        removal = {} if self.removal is None else {"removal": asdict(self.removal)}
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
            **removal,
        }


def plan_table(
    table: str, state: TableState, policy: UpkeepPolicy, holds: Iterable[Hold], *, now: datetime
) -> UpkeepStep:
    """Decide on one table. No hold is ever broken: a file that one may need stays until the hold is gone."""
    compaction = _compaction(state.folders, policy)
    return UpkeepStep(
        table=table,
        compaction=compaction,
        vacuum=_vacuum(state, policy, holds, now=now),
        removal=None if state.tiles is None else _clearing(state.tiles, policy, merges=compaction.pays),
        properties=state.stale_properties,
        clusters_anew=state.clusters_anew,
    )


def _compaction(folders: Sequence[Sequence[int]], policy: UpkeepPolicy) -> Compaction:
    """Files are merged with others of their folder alone; one that is alone in it stays as it is."""
    total, files, after, count = 0, 0, 0, 0
    for sizes in folders:
        count += len(sizes)
        small = [size for size in sizes if size < policy.target_file_bytes / 2]
        if len(small) > 1 or len(folders) == 1:
            files, total = files + len(small), total + sum(small)
            after += max(-(-sum(small) // policy.target_file_bytes), 1)
    limit = policy.target_file_bytes // 2 / _MIB
    beside = "" if len(folders) == 1 else " and lie beside others"
    found = f"{files} of {count} files are below {limit:g} MiB{beside}"
    pays = files >= policy.min_small_files and after < files
    if pays:
        reason = f"{found}; their {total / _MIB:.1f} MiB fit into {after}"
    else:
        reason = f"{found}; from {policy.min_small_files} on they are merged"
    return Compaction(pays=pays, files=files, bytes=total, reason=reason)


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


def _clearing(tiles: ObsoleteTiles, policy: UpkeepPolicy, *, merges: bool) -> Removal:
    """Rows of whole files go at the price of a commit; others with what lies in their files, which is written again."""
    about = f"about {tiles.count} of {tiles.total} rows count no more, in {tiles.files} files"
    if not tiles.count:
        pays, reason = False, f"all of {tiles.total} rows count"
    elif tiles.count >= tiles.total * _OBSOLETE_SHARE or tiles.whole_files >= policy.min_small_files:
        pays, reason = True, f"{about}, {tiles.whole_files} of which have no others"
    elif merges:
        pays, reason = True, f"{about}; they go before files are merged"
    else:
        pays = False
        reason = f"{about}; from {_OBSOLETE_SHARE:.0%} or {policy.min_small_files} whole files on they are deleted"
    return Removal(pays=pays, rows=tiles.count, reason=reason)
