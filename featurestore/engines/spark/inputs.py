"""A view's inputs as frames, and their parts: rows of a time range, or the state at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import ViewInputNode

__all__ = ["Input", "parent_input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """``name`` is the placeholder in SQL; a dimension has no ``timestamp``; ``keys`` are set for parent views only."""

    name: str
    frame: DataFrame
    timestamp: str | None
    created: str | None = None
    keys: tuple[str, ...] = ()

    @property
    def is_event_source(self) -> bool:
        return self.timestamp is not None and not self.keys

    def within(self, start: datetime | None, end: datetime) -> DataFrame:
        """Give the rows with ``start <= timestamp < end``; a dimension's rows are all within."""
        if self.timestamp is None:
            return self.frame
        at = F.col(quote(self.timestamp))
        before = self.frame.where(at < F.lit(end))
        return before if start is None else before.where(at >= F.lit(start))

    def as_of(self, end: datetime) -> DataFrame:
        """Give each key's newest row with ``event_timestamp <= end`` of a parent view."""
        rows = self.frame.where(F.col(EVENT_TIMESTAMP) <= F.lit(end))
        keys = [F.col(quote(key)) for key in self.keys]
        values = [F.col(quote(name)) for name in self.frame.columns if name not in self.keys]
        newest = rows.groupBy(*keys).agg(F.max_by(F.struct(*values), F.col(EVENT_TIMESTAMP)).alias("__newest"))
        return newest.select(*keys, "__newest.*")


def parent_input(node: ViewInputNode, rows: DataFrame) -> Input:
    """Take a parent's current rows: keys under the names they go by here, event_timestamp, the named features."""
    renamed = dict(node.join_key_map)
    keys = rows.columns[: rows.columns.index(EVENT_TIMESTAMP)]
    frame = rows.select(
        *(F.col(quote(key)).alias(renamed.get(key, key)) for key in keys),
        EVENT_TIMESTAMP,
        *(F.col(quote(name)) for name in node.features),
    )
    return Input(
        name=node.alias,
        frame=frame,
        timestamp=EVENT_TIMESTAMP,
        keys=tuple(renamed.get(key, key) for key in keys),
    )
