"""The events that an aggregate view's windows go over, made by its query or function of all its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.inputs import Input
from featurestore.engines.spark.rows import selected
from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import EventQuery, FieldNode, ViewNode
from featurestore.spec.dtypes import Timestamp

__all__ = ["QueriedEvents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriedEvents:
    """Rows like an ``Input``'s, for which ``run`` is given the part of each input that they may depend on."""

    timestamp: ClassVar[str] = EVENT_TIMESTAMP
    created: ClassVar[str | None] = CREATED_TIMESTAMP
    view: ViewNode
    query: EventQuery
    inputs: Sequence[Input]
    run: Callable[[Mapping[str, DataFrame]], DataFrame]

    def within(self, start: datetime | None, end: datetime) -> DataFrame:
        """Give the rows with ``start <= event_timestamp < end``: keys, both times, the query's columns."""
        first = None if start is None else start - (self.query.transformation.lookback or timedelta(0))
        rows = self._timed(self.run({part.name: part.within(first, end) for part in self.inputs}))
        at = F.col(EVENT_TIMESTAMP)
        before = rows.where(at < F.lit(end))
        return before if start is None else before.where(at >= F.lit(start))

    def _timed(self, rows: DataFrame) -> DataFrame:
        """Take the times under their own names, or under those that they have in an event source."""
        names = {name.lower() for name in rows.columns}
        timestamps = [part.timestamp for part in self.inputs if part.timestamp is not None]
        found = next((name for name in (EVENT_TIMESTAMP, *timestamps) if name.lower() in names), None)
        if found is None:
            message = f"found columns {rows.columns}, none of them a time; valid are {EVENT_TIMESTAMP}, " + ", ".join(
                timestamps
            )
            raise SchemaMismatch([Problem(location=f"view {self.view.name!r}", object="rows", message=message)])
        made = [part.created for part in self.inputs if part.created is not None]
        created = next((name for name in (CREATED_TIMESTAMP, *made) if name.lower() in names), None)
        timed = rows.withColumn(EVENT_TIMESTAMP, F.col(quote(found))).withColumn(
            CREATED_TIMESTAMP, F.lit(None).cast("timestamp") if created is None else F.col(quote(created))
        )
        times = (FieldNode(name=name, dtype=Timestamp) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP))
        return selected(timed, (*self.view.join_keys, *times, *self.query.columns), view=self.view.name)
