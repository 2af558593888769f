"""View rows as online (key, value, expiry) pairs: in the driver, or inside Spark's Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.codec.keys import KeyCodec
from featurestore.codec.value import RowCodec
from featurestore.ir.columns import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    INPUTS_TIMESTAMP,
    IS_DELETED,
    key_fields,
    stored_features,
)
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.ir.windows import emptied_expiry, holding_counts

__all__ = ["PAIRS_DDL", "PairEncoder", "encode_batches", "pairs_of"]

PAIRS_DDL = "key binary, value binary, expire_at_ms bigint"

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEncoder:
    """Encode one view version's rows; ``now_ms`` is the publication's logical time, for expiry only."""

    project_id: int
    view: StoredViewNode
    now_ms: int

    def encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give key, value and physical expiry (Unix ms, 0 for none) of each row; rows keep their order."""
        view = self.view
        table = pa.Table.from_batches([batch])
        keys = KeyCodec(project_id=self.project_id, storage_id=view.storage_id, fields=key_fields(view))
        event_us = _micros(table[EVENT_TIMESTAMP])
        if isinstance(view, PredictionViewNode):
            event_us = _micros(pc.coalesce(table[INPUTS_TIMESTAMP], table[EVENT_TIMESTAMP]))
        holds = self._holds(table)
        values = RowCodec(stored_features(view)).encode(
            table,
            event_us=event_us,
            created_us=_micros(table[CREATED_TIMESTAMP]),
            holds=holds,
            deleted=table[IS_DELETED].to_numpy(),
        )
        return pa.record_batch(
            {
                "key": pa.array(keys.encode({key.name: table[key.name] for key in keys.fields}), pa.binary()),
                "value": pa.array(values, pa.binary()),
                "expire_at_ms": pa.array(self._expiry(event_us, holds)),
            }
        )

    def _holds(self, table: pa.Table) -> np.ndarray | None:
        """Say which rows hold until the key's next row: those of an aggregate view that are not emptied."""
        view = self.view
        if not isinstance(view, ViewNode) or not view.is_aggregate:
            return None
        counts = holding_counts(view)
        emptied = np.ones(len(table), np.bool_)
        for feature in view.features:
            column = table[feature.name]
            is_null = np.asarray(column.is_null())
            if feature.name in counts:
                emptied &= is_null | (np.nan_to_num(np.asarray(column, dtype=np.float64)) == 0)
            else:
                emptied &= is_null
        return ~emptied

    def _expiry(self, event_us: np.ndarray, holds: np.ndarray | None) -> np.ndarray:
        """Expire rows that end by themselves, at least a day after their logical end."""
        view = self.view
        none = np.zeros(len(event_us), np.int64)
        if not isinstance(view, ViewNode) or view.on_expired == "serve":
            return none
        life = emptied_expiry(view) if view.is_aggregate else view.ttl
        if not life:
            return none
        life_ms = int(life.total_seconds() * 1000)
        ends = np.maximum(event_us // 1000 + life_ms, self.now_ms) + max(life_ms, _DAY_MS)
        return ends if holds is None else np.where(holds, 0, ends)


def encode_batches(encoder: PairEncoder, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Encode batches as ``mapInArrow`` gives them."""
    return map(encoder.encode, batches)


def pairs_of(batch: pa.RecordBatch) -> list[tuple[bytes, bytes]]:
    """Give a batch's keys and values."""
    keys: list[bytes] = batch["key"].to_numpy(zero_copy_only=False).tolist()
    values: list[bytes] = batch["value"].to_numpy(zero_copy_only=False).tolist()
    return list(zip(keys, values, strict=True))


def _micros(column: Any) -> np.ndarray:
    return np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy())
