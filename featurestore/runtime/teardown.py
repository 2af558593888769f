"""Delete what a project stored: online rows by the keys that Delta knows, tables, ledger. Source data stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa

from featurestore.codec.keys import KeyCodec, manifest_key, marker_key, nodes_key, pointer_key
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.online_code import code_keys
from featurestore.runtime.senders import client
from featurestore.stores.online import OnlineAddress

__all__ = ["applied_versions", "delete_view", "teardown"]

_DELETE_KEYS = 2_048


def teardown(context: RuntimeContext) -> dict[str, int]:
    """Delete every version of every view that was applied; give the number of online rows deleted by view.

    The pointer goes first, so no lookup reads a half deleted project. Idempotent.
    """
    project = context.settings.project
    codes = code_keys(context.online, project)
    context.online.delete([pointer_key(project), manifest_key(project), nodes_key(project), *codes])
    deleted: Counter[str] = Counter()
    for view in applied_versions(context):
        deleted[view.name] += delete_view(context, view)
    return dict(deleted)


def applied_versions(context: RuntimeContext) -> Iterator[StoredViewNode]:
    """Give each view version that any applied manifest has, the newest first; reads one record an apply."""
    seen: set[tuple[str, int]] = set()
    for generation in range(context.manifest.generation, 0, -1):
        for view in context.registry.manifest(generation).stored_views():
            if (view.name, view.version) not in seen:
                seen.add((view.name, view.version))
                yield view


def delete_view(context: RuntimeContext, view: StoredViewNode) -> int:
    """Delete one view version's online rows, marker, table and ledger rows."""
    deleted = 0
    project_id = context.online.project_id(context.settings.project)
    if context.offline.exists(view):
        keys = context.offline.rows(view).select(*(f"`{key.name}`" for key in view.join_keys)).distinct()
        codec = KeyCodec(project_id=project_id, storage_id=view.storage_id, fields=view.join_keys)
        address = OnlineAddress.of(context.settings)
        counts = keys.mapInArrow(partial(_delete_keys, codec, address), "deleted bigint").collect()
        deleted = sum(row.deleted for row in counts)
        context.offline.drop_table(view)
    context.online.delete([marker_key(project_id, view.storage_id)])
    context.ledger.forget(view.name, view.version)
    return deleted


def _delete_keys(
    codec: KeyCodec, address: OnlineAddress, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    store = client(address)
    for batch in batches:
        keys = [key for key in codec.encode(dict(zip(batch.schema.names, batch.columns, strict=True))) if key]
        for start in range(0, len(keys), _DELETE_KEYS):
            yield pa.RecordBatch.from_pydict({"deleted": [store.delete(keys[start : start + _DELETE_KEYS])]})
