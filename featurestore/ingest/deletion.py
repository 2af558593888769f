"""Tombstones: a key's value is gone from lookups, and nothing older brings it back."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.codec.keys import KeyCodec, index_key
from featurestore.codec.stamp import stamp_of
from featurestore.codec.value import tombstone
from featurestore.errors import EntityKeyMissing
from featurestore.ingest.online import project_id_of
from featurestore.ingest.state import ProjectState, live_versions, served_version
from featurestore.ir.columns import key_fields
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.pairs import PairEncoder
from featurestore.serving.entity_rows import EntityRows, read_entity_rows
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineStore, WriteCount

__all__ = ["delete_rows"]


def delete_rows(store: OnlineStore, state: ProjectState, view: str, entity_rows: EntityRows) -> WriteCount:
    """Put a tombstone in every live version of a view, for each entity; give how many were written.

    It is stamped now, or right above the stored row where that is of a later time: so it wins over all that was stated
    before, and a row of a later event time wins over it. A row that comes in meanwhile with a later time stays.
    EntityKeyMissing for a null key: nothing is written then.
    """
    snapshot = state.look()
    served = served_version(snapshot, view)
    request = read_entity_rows(entity_rows, [field.name for field in key_fields(served)])
    counts = [_delete(store, snapshot, node, request.columns) for node in live_versions(snapshot, view)]
    return counts[0]


def _delete(store: OnlineStore, snapshot: Snapshot, view: StoredViewNode, columns: object) -> WriteCount:
    fields = key_fields(view)
    project_id = project_id_of(snapshot)
    found = KeyCodec(project_id=project_id, storage_id=view.storage_id, fields=fields).encode(columns)  # type: ignore[arg-type]
    keys = list(dict.fromkeys(_not_null(found, view)))
    if not keys:
        return WriteCount()
    now_us = store.time_micros()
    pairs = [(key, _above(value, now_us)) for key, value in zip(keys, store.read(keys), strict=True)]
    encoder = PairEncoder(project_id=project_id, view=view, now_ms=now_us // 1000)
    store.add_members(index_key(project_id, view.storage_id), keys)
    return store.write_if_newer(pairs, expire_at_ms=[encoder.expiry_of_any()] * len(pairs))


def _not_null(keys: Sequence[bytes | None], view: StoredViewNode) -> list[bytes]:
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
