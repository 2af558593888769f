"""Delete what a project stored: online rows by the keys that Delta and the index know, tables, ledger.

Source data stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa

from featurestore.codec.keys import (
    KeyCodec,
    dead_letter_key,
    index_key,
    manifest_key,
    marker_key,
    nodes_key,
    pointer_key,
    rate_key,
)
from featurestore.ir.columns import key_fields
from featurestore.ir.nodes import OnDemandViewNode, OnlineViewNode, PredictionViewNode, StoredViewNode, ViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.landing import drop_landed
from featurestore.runtime.online_code import code_keys
from featurestore.runtime.senders import client
from featurestore.runtime.tile_tables import tile_tables
from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.online import OnlineAddress

__all__ = ["applied_versions", "delete_view", "has_table", "teardown"]

_DELETE_KEYS = 2_048


def teardown(context: RuntimeContext) -> dict[str, int]:
    """Delete every version of every view that was applied; give the number of online rows deleted by view.

    The pointer goes first, so no lookup reads a half deleted project. Idempotent.
    """
    project = context.settings.project
    records = [pointer_key(project), manifest_key(project), nodes_key(project), dead_letter_key(project)]
    context.online.delete([*records, *code_keys(context.online, project)])
    deleted: Counter[str] = Counter()
    # A prediction's keys are found in the tables that it reads as well: those go after it.
    for view in sorted(applied_versions(context), key=lambda view: not isinstance(view, PredictionViewNode)):
        deleted[view.name] += delete_view(context, view)
    for location in tile_tables(context):
        context.tiles.drop(location)
    return dict(deleted)


def applied_versions(context: RuntimeContext) -> Iterator[OnlineViewNode]:
    """Give each view version that any applied manifest has, the newest first; reads one record an apply."""
    seen: set[tuple[str, int]] = set()
    for generation in range(context.manifest.generation, 0, -1):
        for view in context.registry.manifest(generation).online_views():
            if view.storage_id and (view.name, view.version) not in seen:
                seen.add((view.name, view.version))
                yield view


def delete_view(context: RuntimeContext, view: OnlineViewNode) -> int:
    """Delete one view version's online rows, marker, table and ledger rows; give how many online rows there were.

    Rows are found by the keys of its table (of a prediction also of the tables that it reads, for predictions made
    live) and by the index of keys that others wrote: no key of another view or project is looked at. An on-demand view
    has no table, and all its rows are in the index.
    """
    project_id = context.online.project_id(context.settings.project)
    codec = KeyCodec(project_id=project_id, storage_id=view.storage_id, fields=key_fields(view))
    deleted = sum(_delete_keys_of(context, codec, table) for table in _tables(context, view))
    index = index_key(project_id, view.storage_id)
    for keys in context.online.members(index):
        deleted += context.online.delete([key for key in keys if codec.owns(key)])
    if not isinstance(view, OnDemandViewNode):
        if has_table(context, view):
            context.offline.drop_table(view)
        drop_landed(context, view)
    context.online.delete([index, marker_key(project_id, view.storage_id), rate_key(project_id, view.storage_id)])
    context.ledger.forget(view.name, view.version)
    return deleted


def _tables(context: RuntimeContext, view: OnlineViewNode) -> list[StoredViewNode]:
    """Name the tables that have keys of the view."""
    if isinstance(view, OnDemandViewNode):
        return []
    tables: list[StoredViewNode] = [view]
    if isinstance(view, PredictionViewNode) and not view.request:
        parents = {name for name in context.manifest.parents(view) if name in context.manifest.views}
        tables += [
            other for other in applied_versions(context) if isinstance(other, ViewNode) and other.name in parents
        ]
    return [table for table in tables if table.join_keys == view.join_keys and has_table(context, table)]


def has_table(context: RuntimeContext, view: StoredViewNode) -> bool:
    """Say whether a view version has a table, without Spark."""
    return DeltaLog(context.table_path(view)).latest_version() is not None


def _delete_keys_of(context: RuntimeContext, codec: KeyCodec, table: StoredViewNode) -> int:
    keys = context.offline.rows(table).select(*(f"`{key.name}`" for key in table.join_keys)).distinct()
    address = OnlineAddress.of(context.settings)
    counts = keys.mapInArrow(partial(_delete_keys, codec, address), "deleted bigint").collect()
    return sum(row.deleted for row in counts)


def _delete_keys(
    codec: KeyCodec, address: OnlineAddress, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    store = client(address)
    for batch in batches:
        keys = [key for key in codec.encode(dict(zip(batch.schema.names, batch.columns, strict=True))) if key]
        for start in range(0, len(keys), _DELETE_KEYS):
            yield pa.RecordBatch.from_pydict({"deleted": [store.delete(keys[start : start + _DELETE_KEYS])]})
