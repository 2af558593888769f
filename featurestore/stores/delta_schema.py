"""The columns and properties of a view's Delta table."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.ir.columns import (
    COMPUTED_AT,
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    IS_DELETED,
    stored_features,
)
from featurestore.ir.ddl import column_ddl
from featurestore.ir.nodes import StoredViewNode
from featurestore.ir.tiles import BUILD, TILE
from featurestore.spec.dtypes import Bool, Decimal, DType, Timestamp

__all__ = ["CLUSTERED_BY", "TableColumn", "columns_ddl", "table_columns", "table_properties", "tile_properties"]

_WITH_STATISTICS = frozenset({"int32", "int64", "float32", "float64", "string", "date", "timestamp", "decimal"})
_KEPT_FOR_EVER = "interval 36500 days"

CLUSTERED_BY = (EVENT_TIMESTAMP,)
"""What compaction sorts rows by among files: readers ask for ranges of event times, never for single keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    name: str
    dtype: DType
    is_nullable: bool


def table_columns(view: StoredViewNode) -> tuple[TableColumn, ...]:
    """List the table's columns in order: keys, times, deletion mark, values, wall clock of the computation."""
    required = [
        *((key.name, key.dtype) for key in view.join_keys),
        (EVENT_TIMESTAMP, Timestamp),
        (CREATED_TIMESTAMP, Timestamp),
        (IS_DELETED, Bool),
    ]
    nullable = [
        *((feature.name, feature.dtype) for feature in stored_features(view)),
        (COMPUTED_AT, Timestamp),
    ]
    return (
        *(TableColumn(name=name, dtype=dtype, is_nullable=False) for name, dtype in required),
        *(TableColumn(name=name, dtype=dtype, is_nullable=True) for name, dtype in nullable),
    )


def columns_ddl(columns: tuple[TableColumn, ...]) -> str:
    return ", ".join(column_ddl(column.name, column.dtype, is_nullable=column.is_nullable) for column in columns)


def table_properties(view: StoredViewNode) -> dict[str, str]:
    """Give the table's Delta properties.

    Rows are only ever appended, until upkeep is told to drop replaced ones (``history_days``). The log is kept for
    ever because the ledger is rebuilt from it. Statistics are collected on keys and times alone: only they are
    filtered by.
    """
    filtered = [key.name for key in view.join_keys if _has_statistics(key.dtype)]
    return {
        "delta.appendOnly": "true",
        "delta.enableChangeDataFeed": "true",
        "delta.logRetentionDuration": _KEPT_FOR_EVER,
        "delta.dataSkippingStatsColumns": ",".join([*filtered, EVENT_TIMESTAMP, CREATED_TIMESTAMP]),
        "featurestore.fingerprint": view.fingerprint,
    }


def tile_properties() -> dict[str, str]:
    """Give the Delta properties of a tile table, whose log is kept for ever because it says which builds count.

    Upkeep deletes rows that count no more.
    """
    return {
        "delta.appendOnly": "false",
        "delta.logRetentionDuration": _KEPT_FOR_EVER,
        "delta.dataSkippingStatsColumns": f"{TILE},{BUILD}",
    }


def _has_statistics(dtype: DType) -> bool:
    return isinstance(dtype, Decimal) or dtype.name in _WITH_STATISTICS
