"""Making a view's table: together with other creators, and after one that died in the middle."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from delta.exceptions import (
    ConcurrentWriteException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.hadoop_files import clear_leftovers, list_changes

__all__ = ["DEAD_AFTER_SECONDS", "create_table"]

_LOG = logging.getLogger(__name__)

DEAD_AFTER_SECONDS = 10.0
"""A creator whose log folder has had no commit and no change for so long is dead: mostly it needs milliseconds."""
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_NO_COMMIT_YET = ("DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION", "DELTA_TABLE_NOT_FOUND")
"""Delta's answers where a log folder has no commit in it: its creator is at work, or dead."""


def create_table(
    spark: SparkSession,
    path: str,
    columns: StructType,
    properties: Mapping[str, str],
    *,
    clustered_by: Sequence[str] = (),
    partitioned_by: Sequence[str] = (),
) -> None:
    """Create the table if it is not there. Idempotent; of two creators both succeed.

    A creator that died before its first commit leaves a log folder that Delta takes neither for a table nor for a
    free place. It is cleared once nothing in it has changed for DEAD_AFTER_SECONDS. A creator that was only slow makes
    it again: nothing that was committed meanwhile is touched.
    """
    # Delta compares the location with Hadoop's spelling of it, which has one slash behind the scheme of local files.
    location = path.replace("file:///", "file:/", 1)
    builder = DeltaTable.createIfNotExists(spark).location(location).addColumns(columns)
    if partitioned_by:
        builder = builder.partitionedBy(*partitioned_by)
    for name, value in properties.items():
        builder = builder.property(name, value)
    if clustered_by:
        builder = builder.clusterBy(*clustered_by)
    log = f"{path}/_delta_log"
    seen = list_changes(spark, log)
    seen_at = started = time.monotonic()
    while True:
        try:
            builder.execute()
            return
        except (ProtocolChangedException, MetadataChangedException, ConcurrentWriteException, AnalysisException) as e:
            if isinstance(e, AnalysisException) and e.getCondition() not in _NO_COMMIT_YET:
                raise
            if DeltaLog(path).latest_version() is not None:
                _LOG.info("another run created the table %s meanwhile", path)
                return
            now = time.monotonic()
            if now - started > DEAD_AFTER_SECONDS + _PATIENCE_SECONDS:
                raise
            found = list_changes(spark, log)
            if found != seen:
                seen, seen_at = found, now
            elif now - seen_at >= DEAD_AFTER_SECONDS:
                _LOG.warning("the creator of the table %s died before its first commit; its log is cleared", path)
                clear_leftovers(spark, log)
                seen_at = now
        time.sleep(_PAUSE_SECONDS)
