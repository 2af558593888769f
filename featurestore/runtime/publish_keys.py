"""Publication of named keys: what the table answers for them, over a tombstone too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pyarrow as pa

from featurestore.codec.entity_values import entity_of
from featurestore.codec.keys import KeyCodec
from featurestore.codec.layout import HEADER_BYTES
from featurestore.codec.restated import plain_form, restate
from featurestore.codec.stamp import is_newer, stamp_of
from featurestore.errors import StateError
from featurestore.ir.columns import key_fields
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.outgoing import check_storage, pair_encoder, send_plan
from featurestore.runtime.pairs import PairEncoder, pairs_of
from featurestore.runtime.reconcile import reconcile
from featurestore.runtime.results import PublicationResult
from featurestore.runtime.senders import LocalPairs

__all__ = ["EntityRows", "over_tombstones", "publish_keys"]

EntityRows: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""One mapping for each entity, or one list for each join key."""


def publish_keys(context: RuntimeContext, view: StoredViewNode, entity_rows: EntityRows) -> PublicationResult:
    """Send what the table answers for the given entities, whenever it was appended.

    A tombstone of ``delete_online`` is replaced: the value goes under a stamp right above it, its own times inside. A
    value that is newer than the table's stays and counts as ignored. Marker and pointer are left as they are.
    """
    from pyspark.sql import functions as F

    from featurestore.engines.spark.answers import standing_answers
    from featurestore.engines.spark.schema import spark_type

    latest = context.offline.latest_version(view)
    if latest is None:
        raise StateError(f"{view.name} v{view.version} has no table; materialize it first", view=view.name)
    check_storage(context, view)
    encoder = pair_encoder(context, view)
    columns = _columns(entity_rows, [key.name for key in view.join_keys])
    codec = KeyCodec(project_id=encoder.project_id, storage_id=view.storage_id, fields=key_fields(view))
    wanted = [key for key in codec.encode(columns) if key is not None]
    schema = ", ".join(f"`{key.name}` {spark_type(key.dtype).simpleString()}" for key in view.join_keys)
    rows = [tuple(entity_of(key, codec.fields).values()) for key in wanted]
    named = context.spark.createDataFrame(rows, schema).distinct()
    table = context.offline.appended(view, None, latest).join(
        F.broadcast(named), [key.name for key in view.join_keys], "left_semi"
    )
    found = standing_answers(table, table, view, delta_version=latest)
    batches = [over_tombstones(context, encoder, encoder.encode(batch)) for batch in found.toArrow().to_batches()]
    pairs = LocalPairs(context.online, batches, send_plan(context, encoder))
    return replace(pairs.send(), checked=reconcile(view, pairs))


def over_tombstones(context: RuntimeContext, encoder: PairEncoder, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put values that a stored tombstone would win over right above it."""
    pairs = pairs_of(batch)
    values = []
    for (_, value), stored in zip(pairs, context.online.read([key for key, _ in pairs]), strict=True):
        is_buried = stored is not None and len(stored) == HEADER_BYTES and len(value) > HEADER_BYTES
        if stored is not None and is_buried and is_newer(stored, value):
            event_us, created_us, _ = stamp_of(stored)
            value = restate(plain_form(value), event_us, created_us + 1)
        values.append(value)
    place = batch.schema.get_field_index("value")
    return batch.set_column(place, "value", pa.array(values, pa.binary()))


def _columns(entity_rows: EntityRows, names: Sequence[str]) -> Mapping[str, Any]:
    """Give the rows' columns; a key that a row lacks is told by the codec."""
    if isinstance(entity_rows, Mapping):
        return entity_rows
    return {name: [row[name] for row in entity_rows] for name in names if all(name in row for row in entity_rows)}
