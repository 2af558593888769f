"""Deletion of rows that count no more, by one commit beside appends and readers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["ROWS", "TABLE", "remove_rows"]

_LOG = logging.getLogger(__name__)

TABLE, ROWS = "table", "rows"
"""What the table and the rows to delete are called in a condition."""

_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_ATTEMPTS = 4
_CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    MetadataChangedException,
    ProtocolChangedException,
)


def remove_rows(
    spark: SparkSession,
    path: str,
    rows: Callable[[SparkSession], DataFrame],
    *,
    matched_by: Column,
    within: Column,
    metadata: str,
) -> int | None:
    """Delete the table's rows that match one of ``rows`` inside ``within``; give how many.

    None where appends came first each time: they are never disturbed, so the deletion waits for the next upkeep. One
    commit with ``metadata``, an empty one if nothing matched. Idempotent: rows are named by what they are. ``rows`` is
    made in a session of its own, for a MERGE takes its commit's metadata from the session.
    """
    session = spark.newSession()
    session.conf.set(_METADATA, metadata)
    doomed = rows(session).alias(ROWS)
    for attempt in range(1, _ATTEMPTS + 1):
        table = DeltaTable.forPath(session, path).alias(TABLE)
        try:
            counted = table.merge(doomed, within & matched_by).whenMatchedDelete().execute()
        except _CONFLICTS as conflict:
            _LOG.info("%s was appended to meanwhile (%s), attempt %d", path, type(conflict).__name__, attempt)
            continue
        (row,) = counted.collect()
        removed = int(row["num_deleted_rows"])
        if not removed:
            _note(session, path, metadata)
        return removed
    return None


def _note(spark: SparkSession, path: str, metadata: str) -> None:
    """Make an empty commit, which says that the table was looked at."""
    empty = spark.read.format("delta").load(path).schema
    spark.createDataFrame([], empty).write.format("delta").mode("append").option("userMetadata", metadata).save(path)
