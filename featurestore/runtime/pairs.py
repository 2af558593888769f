"""View rows as online (key, value, expiry) pairs: in the driver, or inside Spark's Python workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.codec.keys import KeyCodec
from featurestore.codec.restated import restate
from featurestore.codec.value import RowCodec
from featurestore.ir.columns import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    INPUTS_TIMESTAMP,
    IS_DELETED,
    STAMP_CREATED,
    STAMP_EVENT,
    key_fields,
    stored_features,
)
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.ir.windows import emptied_expiry, holding_counts

__all__ = ["PAIRS_SCHEMA", "PairEncoder", "pairs_of"]

_TYPES: Mapping[str, pa.DataType] = {
    "key": pa.binary(),
    "value": pa.binary(),
    "expire_at_ms": pa.int64(),
    "is_expired": pa.bool_(),
}
PAIRS_SCHEMA = pa.schema(_TYPES)

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEncoder:
    """Encode one view version's rows; ``now_ms`` is the publication's logical time, for expiry only."""

    project_id: int
    view: StoredViewNode
    now_ms: int

    def encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give key, value, physical expiry (Unix ms, 0 for none) and whether the ttl is over for each row, in order."""
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
        if STAMP_EVENT in table.column_names:
            values = _restated(values, table)
        return pa.record_batch(
            [
                pa.array(keys.encode({key.name: table[key.name] for key in keys.fields}), pa.binary()),
                pa.array(values, pa.binary()),
                pa.array(self._expiry(event_us, holds)),
                pa.array(self._is_expired(event_us, holds)),
            ],
            schema=PAIRS_SCHEMA,
        )

    @property
    def life_ms(self) -> int:
        """How long after its event time a row that does not hold is kept at least; 0 for ever."""
        life = self._life()
        is_served = isinstance(self.view, ViewNode) and self.view.on_expired == "serve"
        return 0 if is_served or not life else int(life.total_seconds() * 1000)

    def expiry_of_any(self) -> int:
        """Give a physical expiry (Unix ms, 0 for none) that is late enough for any row written by now."""
        return self.now_ms + self.life_ms + max(self.life_ms, _DAY_MS) if self.life_ms else 0

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

    def _is_expired(self, event_us: np.ndarray, holds: np.ndarray | None) -> np.ndarray:
        """Say which rows are past their logical end already; one that holds is not."""
        life = self._life()
        if not life:
            return np.zeros(len(event_us), np.bool_)
        over = event_us // 1000 + int(life.total_seconds() * 1000) < self.now_ms
        return over if holds is None else over & ~holds

    def _life(self) -> timedelta | None:
        view = self.view
        if not isinstance(view, ViewNode):
            return None
        return emptied_expiry(view) if view.is_aggregate else view.ttl

    def _expiry(self, event_us: np.ndarray, holds: np.ndarray | None) -> np.ndarray:
        """Expire rows that end by themselves, at least a day after their logical end."""
        life_ms = self.life_ms
        if not life_ms:
            return np.zeros(len(event_us), np.int64)
        ends = np.maximum(event_us // 1000 + life_ms, self.now_ms) + max(life_ms, _DAY_MS)
        return ends if holds is None else np.where(holds, 0, ends)


def pairs_of(batch: pa.RecordBatch) -> list[tuple[bytes, bytes]]:
    """Give a batch's keys and values."""
    keys: list[bytes] = batch["key"].to_numpy(zero_copy_only=False).tolist()
    values: list[bytes] = batch["value"].to_numpy(zero_copy_only=False).tolist()
    return list(zip(keys, values, strict=True))


def _restated(values: list[bytes], table: pa.Table) -> list[bytes]:
    """Put the values of rows that stand under another stamp than their own under that one."""
    stamped = np.flatnonzero(table[STAMP_EVENT].is_valid().to_numpy())
    if not len(stamped):
        return values
    rows = table.select([STAMP_EVENT, STAMP_CREATED]).take(stamped.astype(np.int64))
    stamps = zip(_micros(rows[STAMP_EVENT]).tolist(), _micros(rows[STAMP_CREATED]).tolist(), strict=True)
    for row, (event_us, created_us) in zip(stamped.tolist(), stamps, strict=True):
        values[row] = restate(values[row], event_us, created_us)
    return values


def _micros(column: Any) -> np.ndarray:
    return np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy())
