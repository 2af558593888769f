"""Which Delta tables the upkeep looks after, and who may still read files that a compaction replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.intervals import show_instant
from featurestore.ir.nodes import OnDemandViewNode, PredictionViewNode, StoredViewNode
from featurestore.ir.served import served_location
from featurestore.ir.tiles import TILE_FOLDER
from featurestore.plan.upkeep import Hold
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.garbage import needed_storage_ids
from featurestore.runtime.teardown import applied_versions
from featurestore.runtime.tile_tables import tile_tables
from featurestore.stores.base import RunState
from featurestore.stores.delta_files import DeltaFiles
from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.delta_schema import CLUSTERED_BY, table_properties, tile_properties

__all__ = ["UpkeepTable", "claim_holds", "marker_holds", "upkeep_tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepTable:
    """A Delta table of a view: its own (``node`` says of which version), or one that belongs to it.

    ``properties`` are what this release makes such a table with; ``clustered_by`` is empty where the table's files
    are to stay as they were appended. Runs of ``readers``, view versions, may read the table as it was when they began.
    """

    name: str
    path: str
    node: StoredViewNode | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    clustered_by: tuple[str, ...] = ()
    readers: tuple[tuple[str, int], ...] = ()
    has_tiles: bool = False


def upkeep_tables(context: RuntimeContext) -> Mapping[str, Sequence[UpkeepTable]]:
    """Give the tables that exist, by view: of every version that is applied, served, building or warm; served logs.

    A tile table is with the first by name of the views that share it.
    """
    root = context.settings.offline_root.rstrip("/")
    needed = needed_storage_ids(context)
    tables: dict[str, list[UpkeepTable]] = {}
    names: dict[int, tuple[str, int]] = {}
    for node in applied_versions(context):
        if isinstance(node, OnDemandViewNode) or node.storage_id not in needed:
            continue
        names[node.storage_id] = (node.name, node.version)
        version = f"{node.name} v{node.version}"
        found = [
            UpkeepTable(
                name=version,
                path=context.table_path(node),
                node=node,
                properties=table_properties(node),
                clustered_by=CLUSTERED_BY,
                readers=_readers(context, node),
            )
        ]
        if isinstance(node, PredictionViewNode):
            found.append(UpkeepTable(name=f"{version} served", path=f"{root}/{served_location(node)}"))
        existing = [table for table in found if DeltaLog(table.path).latest_version() is not None]
        tables.setdefault(node.name, []).extend(existing)
    for location, ids in sorted(tile_tables(context).items()):
        readers = tuple(sorted(names[number] for number in ids if number in names))
        if readers:
            table = UpkeepTable(
                name=location.removeprefix(f"{TILE_FOLDER}/"),
                path=f"{root}/{location}",
                properties=tile_properties(),
                readers=readers,
                has_tiles=True,
            )
            tables.setdefault(readers[0][0], []).append(table)
    return tables


def _readers(context: RuntimeContext, view: StoredViewNode) -> tuple[tuple[str, int], ...]:
    """Give the applied versions of a view and of those that read it."""
    manifest = context.manifest
    children = [other for other in manifest.stored_views() if view.name in manifest.parents(other)]
    return tuple((node.name, node.version) for node in (manifest.stored_view(view.name), *children))


def marker_holds(context: RuntimeContext, node: StoredViewNode, files: DeltaFiles) -> Iterator[Hold]:
    """Give what the next publication of a view version may read: all since its marker, however old that is.

    Without a marker everything is sent, from the newest version.
    """
    project_id = context.online.project_id(context.settings.project)
    stored = context.online.read([marker_key(project_id, node.storage_id)])[0]
    if stored is None:
        return
    marker = Marker.from_bytes(stored)
    since = files.replaced_since(marker.delta_version)
    if since is not None:
        yield Hold(
            since=since,
            reason=f"the last publication reached Delta version {marker.delta_version} of {files.version}; publish "
            f"{node.name} first",
        )


def claim_holds(context: RuntimeContext, table: UpkeepTable, *, now: datetime) -> Iterator[Hold]:
    """Give what runs under way may read of a table."""
    for name, version in table.readers:
        for run in context.ledger.runs(name, version):
            if run.state is RunState.CLAIMED and run.lease_until > now and run.claimed_at is not None:
                yield Hold(
                    since=run.claimed_at,
                    reason=f"run {run.run_id} of {name} {run.interval} began at {show_instant(run.claimed_at)} "
                    "and has not ended",
                )
