"""Tile tables: partial aggregates of a source's events, shared by the views that read the source by the same keys."""

from __future__ import annotations

import logging

from delta.exceptions import MetadataChangedException, ProtocolChangedException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from featurestore.ir.tiles import BUILD, PART, PERIOD, SIZE, TILE
from featurestore.plan.tile_coverage import TileCommit
from featurestore.stores.delta_creation import create_table
from featurestore.stores.delta_schema import tile_properties
from featurestore.stores.hadoop_files import delete_folder
from featurestore.stores.tile_json import tile_commit_to_json
from featurestore.stores.tile_log import TileLog

__all__ = ["DeltaTiles"]

_LOG = logging.getLogger(__name__)
_FOLDERS = (PART, SIZE, PERIOD)
_ATTEMPTS = 8


class DeltaTiles:
    """Tile tables under ``root``, named by their location (``ir.tiles.tile_location``).

    Builds only append, and the table's log says which rows count: what a build wrote is read by the build's name, and
    a build that the log does not have was never there. So two that build the same tiles beside each other waste work,
    but no row is counted twice, and neither waits for the other. Upkeep deletes rows that count no more.
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        self._spark = spark
        self._root = root.rstrip("/")

    def path(self, location: str) -> str:
        return f"{self._root}/{location}"

    def log(self, location: str) -> TileLog:
        """Read the log: the newest version, builds and files; empty where there is no table. Starts no Spark job."""
        return TileLog.read(self.path(location))

    def read(self, location: str, version: int) -> DataFrame:
        """Read the table as of a version, builds that do not count included."""
        return self._spark.read.format("delta").option("versionAsOf", version).load(self.path(location))

    def append(self, rows: DataFrame, location: str, commit: TileCommit) -> None:
        """Commit a build's tiles in one append; columns that the table lacks are added.

        ``rows`` have the keys, PART, SIZE, PERIOD, TILE and what was built. Beside a build that adds columns the rows
        are computed again. Not idempotent, and need not be: a build of another name takes nothing from this one. So
        Delta is not given a transaction, to look up which it would compute the table's state by Spark.
        """
        path, marked = self.path(location), rows.withColumn(BUILD, F.lit(commit.build))
        if commit.seen < 0:
            create_table(self._spark, path, _first_columns(marked), tile_properties(), partitioned_by=_FOLDERS)
        writer = marked.write.format("delta").mode("append").option("mergeSchema", "true")
        writer = writer.option("userMetadata", tile_commit_to_json(commit))
        for attempt in range(_ATTEMPTS):
            try:
                writer.save(path)
                return
            except (MetadataChangedException, ProtocolChangedException):
                if attempt == _ATTEMPTS - 1:
                    raise
                _LOG.info("another build added columns to %s meanwhile; build %s tries again", path, commit.build)

    def drop(self, location: str) -> None:
        """Delete a tile table; nothing happens where there is none."""
        delete_folder(self._spark, self.path(location))


def _first_columns(rows: DataFrame) -> StructType:
    """Give the columns that each build has; the others come with the builds that have them."""
    names = [*rows.columns[: rows.columns.index(TILE) + 1], BUILD]
    return StructType([StructField(name, rows.schema[name].dataType, nullable=True) for name in names])
