"""What upkeep does to a table by Delta's own commands; none of them changes or tells of a row."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from delta.exceptions import (
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

__all__ = ["Compacted", "cluster", "compact", "set_properties", "vacuum"]

_LOG = logging.getLogger(__name__)

_CHANGED = (MetadataChangedException, ProtocolChangedException)
_COMPACTED = (ConcurrentDeleteReadException, ConcurrentDeleteDeleteException, ConcurrentTransactionException)
"""What Delta raises in the second of two upkeeps."""

_PREFIX = "spark.databricks.delta."
_CUBE_FILES = 4
"""Clustered files are left alone once so many target files lie together: what is written again stays bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """Files that a compaction replaced and made, and the bytes that it wrote."""

    removed: int = 0
    added: int = 0
    bytes_written: int = 0


def set_properties(spark: SparkSession, path: str, properties: Mapping[str, str]) -> None:
    """Set table properties by a commit of metadata alone. Idempotent."""
    listed = ", ".join(f"{_literal(name)} = {_literal(value)}" for name, value in sorted(properties.items()))
    try:
        spark.sql(f"ALTER TABLE {_table(path)} SET TBLPROPERTIES ({listed})")
    except _CHANGED:
        _LOG.info("another run changed the properties of %s meanwhile", path)


def cluster(spark: SparkSession, path: str, columns: tuple[str, ...]) -> None:
    """Have the next compactions cluster the table's files by columns; nothing is rewritten now. Idempotent."""
    try:
        spark.sql(f"ALTER TABLE {_table(path)} CLUSTER BY ({', '.join(columns)})")
    except _CHANGED:
        _LOG.info("another run changed the clustering of %s meanwhile", path)


def compact(spark: SparkSession, path: str, *, target_file_bytes: int) -> Compacted:
    """Merge small files by OPTIMIZE, beside appends and readers; nothing where another compaction came first.

    The commit says of each file that no row changed: the change feed gives nothing of it. Killed before the commit, it
    leaves files that the table does not have, for VACUUM to delete.
    """
    sizes = {
        "optimize.maxFileSize": target_file_bytes,
        "optimize.minFileSize": target_file_bytes // 2,
        "optimize.clustering.mergeStrategy.minCubeSize.threshold": _CUBE_FILES * target_file_bytes,
    }
    with _settings(spark, {f"{_PREFIX}{name}": str(value) for name, value in sizes.items()}):
        try:
            row = spark.sql(f"OPTIMIZE {_table(path)}").collect()[0]
        except (*_CHANGED, *_COMPACTED):
            _LOG.info("another upkeep compacted or changed %s meanwhile", path)
            return Compacted()
    metrics = row["metrics"]
    return Compacted(
        removed=int(metrics["numFilesRemoved"]),
        added=int(metrics["numFilesAdded"]),
        bytes_written=int(metrics["filesAdded"]["totalSize"] or 0),
    )


def vacuum(spark: SparkSession, path: str, *, retention: timedelta) -> None:
    """Delete the files that no version of the last ``retention`` has; a second one goes on where the first was killed.

    Delta refuses a retention below the table's own (``delta.deletedFileRetentionDuration``).
    """
    DeltaTable.forPath(spark, path).vacuum(retention.total_seconds() / 3600)


@contextmanager
def _settings(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    before = {name: spark.conf.get(name, None) for name in values}
    for name, value in values.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, old)


def _table(path: str) -> str:
    return "delta.`" + path.replace("`", "``") + "`"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
