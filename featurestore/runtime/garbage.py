"""Free tables and online keys of view versions that nothing needs any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featurestore.codec.entity_values import storage_id_of
from featurestore.codec.keys import index_key, marker_key, project_pattern
from featurestore.ir.nodes import OnDemandViewNode, OnlineViewNode, PredictionViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.pointer import read_pointer
from featurestore.runtime.teardown import applied_versions, delete_view, has_table
from featurestore.runtime.tile_tables import tile_tables

__all__ = ["Garbage", "collect_garbage", "needed_storage_ids", "scan_orphans"]

logger = logging.getLogger(__name__)

_SCAN_LOT = 1_000
_SCAN_PAUSE_SECONDS = 0.005
"""Between two lots of a scan, so that readers get their turn: at most 200,000 keys a second are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A view version that is neither applied nor served, building or warm; ``freed`` online rows, None: not yet."""

    view: str
    version: int
    storage_id: int
    has_table: bool
    rows: int
    """Rows that its publications sent, as the ledger has it."""
    tiles: tuple[str, ...] = ()
    """The tile tables that it shared, if with others then with versions that are not needed either."""
    freed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "view": self.view,
            "version": self.version,
            "has_table": self.has_table,
            "rows": self.rows,
            "tiles": list(self.tiles),
            "freed": self.freed,
        }


def collect_garbage(context: RuntimeContext, *, dry_run: bool = True) -> list[Garbage]:
    """Find versions that nothing needs, and free their tables and keys unless it is a ``dry_run``.

    Needed are the applied version of each view and those that the pointer record has as served, building or warm; of
    what is written of on-demand views only the applied one. Keys are enumerated from Delta and the index of keys that
    others wrote; none is searched for. A tile table goes with the versions that share it, when none of them is needed.
    Idempotent.
    """
    # A prediction's keys are found in the tables that it reads as well: those go after it.
    found = sorted(_unneeded(context), key=lambda view: not isinstance(view, PredictionViewNode))
    needed = needed_storage_ids(context)
    unshared = {location: ids for location, ids in tile_tables(context).items() if not ids & needed} if found else {}
    garbage = []
    for view in found:
        described = _describe(context, view)
        tiles = tuple(location for location, ids in unshared.items() if view.storage_id in ids)
        if described is None and not tiles:
            continue
        freed = None if dry_run else delete_view(context, view)
        for location in () if dry_run else tiles:
            context.tiles.drop(location)
        garbage.append(
            Garbage(
                view=view.name,
                version=view.version,
                storage_id=view.storage_id,
                has_table=described is not None and described[0],
                rows=0 if described is None else described[1],
                tiles=tiles,
                freed=freed,
            )
        )
        if freed is not None:
            logger.info("%s v%d: %d online rows freed", view.name, view.version, freed)
    return garbage


def needed_storage_ids(context: RuntimeContext) -> frozenset[int]:
    """Give the storage ids whose rows may be read: of applied, served, building and warm versions."""
    pointer = read_pointer(context)
    pointed = [] if pointer is None else [ref for view in pointer.views.values() for ref in view.live()]
    applied = [view.storage_id for view in context.manifest.online_views()]
    return frozenset([*applied, *(ref.storage_id for ref in pointed)])


def scan_orphans(context: RuntimeContext, *, dry_run: bool = True) -> int:
    """Look at every key of the server for rows of this project that no version needs; give how many there are.

    For keys that neither Delta nor the index knows, such as those of a table that was deleted by hand. Only keys with
    this project's number match; the scan pauses after each lot, and locks are left alone.
    """
    needed = needed_storage_ids(context)
    project_id = context.online.project_id(context.settings.project)
    orphans = 0
    for keys in context.online.scan(project_pattern(project_id), lot=_SCAN_LOT):
        lost = [key for key in keys if storage_id_of(key) not in needed and storage_id_of(key)]
        orphans += len(lost) if dry_run else context.online.delete(lost)
        time.sleep(_SCAN_PAUSE_SECONDS)
    return orphans


def _unneeded(context: RuntimeContext) -> Iterator[OnlineViewNode]:
    needed = needed_storage_ids(context)
    return (view for view in applied_versions(context) if view.storage_id not in needed)


def _describe(context: RuntimeContext, view: OnlineViewNode) -> tuple[bool, int] | None:
    """Say whether a version has a table, and how many rows were sent; None where nothing of it is left."""
    project_id = context.online.project_id(context.settings.project)
    is_there = not isinstance(view, OnDemandViewNode) and has_table(context, view)
    published = context.ledger.publications(view.name, view.version)
    marker = context.online.read([marker_key(project_id, view.storage_id)])[0]
    is_indexed = next(context.online.members(index_key(project_id, view.storage_id)), None) is not None
    if not (is_there or published or marker or is_indexed):
        return None
    return is_there, sum(publication.sent for publication in published)
