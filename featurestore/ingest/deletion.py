"""Tombstones: a key's value is gone from lookups, and nothing older brings it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.codec.entity_values import entity_of
from featurestore.codec.keys import Columns, KeyCodec, index_key
from featurestore.codec.stamp import stamp_of
from featurestore.codec.value import tombstone
from featurestore.errors import EntityKeyMissing
from featurestore.ingest.on_demand_routes import written_view
from featurestore.ingest.online import project_id_of
from featurestore.ingest.state import ProjectState, live_versions, no_pointer
from featurestore.ir.columns import key_fields
from featurestore.ir.inputs import key_columns
from featurestore.ir.nodes import OnDemandViewNode, OnlineViewNode, ViewNode
from featurestore.runtime.pairs import PairEncoder
from featurestore.serving.entity_rows import EntityRows, read_entity_rows
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineStore, WriteCount

__all__ = ["delete_rows"]


def delete_rows(store: OnlineStore, state: ProjectState, view: str, entity_rows: EntityRows) -> dict[str, WriteCount]:
    """Put a tombstone in every live version of a view, for each entity; give how many were written, by view.

    It is stamped now, or right above the stored row where that is of a later time: so it wins over all that was stated
    before, and a row of a later event time wins over it. A row that comes in meanwhile with a later time stays.
    What was written of on-demand features of these entities goes first. EntityKeyMissing for a null key: nothing is
    written then.
    """
    snapshot = state.look()
    written = written_view(snapshot.manifest, view)
    nodes: Sequence[OnlineViewNode] = [written] if written is not None else live_versions(snapshot, view)
    if snapshot.pointer is None:
        raise no_pointer(snapshot.manifest.project)
    fields = key_fields(nodes[0])
    request = read_entity_rows(entity_rows, [field.name for field in fields])
    keys = [_keys(snapshot, node, request.columns) for node in nodes]
    counts: dict[str, WriteCount] = {}
    if isinstance(nodes[0], ViewNode) and keys[0]:
        entities = [entity_of(key, fields) for key in keys[0]]
        for reader in snapshot.manifest.written_views():
            if found := _keys_reading(store, snapshot, reader, nodes[0], entities):
                counts[reader.name] = _delete(store, snapshot, reader, found)
    deleted = [_delete(store, snapshot, node, own) for node, own in zip(nodes, keys, strict=True)]
    return {view: deleted[0], **counts}


def _keys(snapshot: Snapshot, view: OnlineViewNode, columns: Columns) -> list[bytes]:
    codec = KeyCodec(project_id=project_id_of(snapshot), storage_id=view.storage_id, fields=key_fields(view))
    return list(dict.fromkeys(_not_null(codec.encode(columns), view)))


def _keys_reading(
    store: OnlineStore,
    snapshot: Snapshot,
    reader: OnDemandViewNode,
    view: ViewNode,
    entities: Sequence[Mapping[str, Any]],
) -> list[bytes]:
    """Find the keys of an on-demand view whose rows read these entities of a view.

    Where the on-demand view has more to its key, all keys that it was ever written by are looked at.
    """
    keys: dict[bytes, None] = {}
    for columns in {key_columns(view, ref.join_key_map) for ref in reader.inputs if ref.view == view.name}:
        named = dict(zip(columns, (field.name for field in view.join_keys), strict=True))
        if all(field.name in named for field in reader.join_keys):
            found = {field.name: [row[named[field.name]] for row in entities] for field in reader.join_keys}
            keys.update(dict.fromkeys(_keys(snapshot, reader, found)))
            continue
        wanted = {tuple(row[name] for name in named.values()) for row in entities}
        for lot in store.members(index_key(project_id_of(snapshot), reader.storage_id)):
            for key in lot:
                row = entity_of(key, reader.join_keys)
                if tuple(row[name] for name in named) in wanted:
                    keys[key] = None
    return list(keys)


def _delete(store: OnlineStore, snapshot: Snapshot, view: OnlineViewNode, keys: Sequence[bytes]) -> WriteCount:
    if not keys:
        return WriteCount()
    project_id, now_us = project_id_of(snapshot), store.time_micros()
    pairs = [(key, _above(value, now_us)) for key, value in zip(keys, store.read(keys), strict=True)]
    expiry = 0
    if not isinstance(view, OnDemandViewNode):
        expiry = PairEncoder(project_id=project_id, view=view, now_ms=now_us // 1000).expiry_of_any()
    store.add_members(index_key(project_id, view.storage_id), keys)
    return store.write_if_newer(pairs, expire_at_ms=[expiry] * len(pairs))


def _not_null(keys: Sequence[bytes | None], view: OnlineViewNode) -> list[bytes]:
    for row, key in enumerate(keys):
        if key is None:
            names = ", ".join(field.name for field in key_fields(view))
            raise EntityKeyMissing(
                f"entity row {row}: a part of the key ({names}) is null; nothing was deleted", row=row
            )
    return [key for key in keys if key is not None]


def _above(value: bytes | None, now_us: int) -> bytes:
    """Make the tombstone that replaces a stored value."""
    if value is None:
        return tombstone(now_us, now_us)
    event_us, created_us, _ = stamp_of(value)
    return tombstone(max(event_us, now_us), now_us if event_us < now_us else max(created_us + 1, now_us))
