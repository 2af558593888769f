"""Rows of a view's table that were replaced so long ago that no reader asks for them."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from featurestore.engines.spark.answers import online_event
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_TIMESTAMP, IS_DELETED
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import FunctionTransformation, PredictionViewNode, SqlTransformation, StoredViewNode

__all__ = ["superseded_rows"]

_ONLINE, _NEXT, _BEFORE = "__online", "__next", "__before"


def superseded_rows(rows: DataFrame, view: StoredViewNode, *, until: datetime) -> DataFrame:
    """Give the identities (keys, event_timestamp, created_timestamp) of rows that were replaced up to ``until``.

    A row is replaced by the next statement about its event time, when that is made; what the table answers for a time
    of statement from ``until`` on needs none of them. Kept all the same are: deletions, for online stamps are derived
    from them; a prediction whose inputs are newer than those of what replaced it, for the same reason; the first
    statement of a query or function, which tells whether its event time is its step's end.
    """
    identity = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    has_inputs = isinstance(view, PredictionViewNode) and INPUTS_TIMESTAMP in rows.columns
    online = online_event(view) if has_inputs else F.col(EVENT_TIMESTAMP)
    stated = rows.groupBy(*map(quote, identity)).agg(F.max(IS_DELETED).alias(IS_DELETED), F.max(online).alias(_ONLINE))
    by_time = Window.partitionBy(*map(quote, identity[:-1])).orderBy(CREATED_TIMESTAMP)
    following = F.lead(F.struct(CREATED_TIMESTAMP, _ONLINE)).over(by_time)
    chained = stated.withColumn(_NEXT, following).withColumn(_BEFORE, F.lag(CREATED_TIMESTAMP).over(by_time))
    is_replaced = F.col(_NEXT)[CREATED_TIMESTAMP] <= F.lit(until)
    goes = is_replaced & ~F.col(IS_DELETED) & (F.col(_ONLINE) <= F.col(_NEXT)[_ONLINE])
    if isinstance(getattr(view, "transformation", None), SqlTransformation | FunctionTransformation):
        goes = goes & F.col(_BEFORE).isNotNull()
    return chained.where(goes).select(*map(quote, identity))
