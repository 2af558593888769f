"""Columns that the code expects and an older release's table lacks: added to its metadata, and read as null before."""

from __future__ import annotations

import logging
from collections.abc import Collection

from delta.exceptions import MetadataChangedException, ProtocolChangedException
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.ddl import spark_ddl
from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.delta_schema import TableColumn, columns_ddl

__all__ = ["add_absent_columns", "with_absent_columns"]

_LOG = logging.getLogger(__name__)


def add_absent_columns(spark: SparkSession, path: str, columns: Collection[TableColumn]) -> None:
    """Add the columns that the table lacks, by a commit of metadata alone: no file is read or written.

    Idempotent, beside others that add them too. Only a nullable column can be added so: the rows that are there have
    no value of it. SchemaMismatch names the others.
    """
    for attempt in range(3):
        absent = _absent(columns, DeltaLog(path).columns() or ())
        if not absent:
            return
        required = [column.name for column in absent if not column.is_nullable]
        if required:
            raise SchemaMismatch(
                [
                    Problem(
                        location=path,
                        object=name,
                        message="is not in the table and must not be null, so it cannot be added to rows that are "
                        "there; use the release that wrote the table, or free it (`featurestore gc`) and compute it "
                        "anew",
                    )
                    for name in required
                ]
            )
        try:
            spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({columns_ddl(absent)})")
        except (MetadataChangedException, ProtocolChangedException, AnalysisException):
            if attempt == 2:
                raise
            _LOG.info("another run changed the columns of %s meanwhile", path)
        else:
            _LOG.info("added to %s: %s", path, ", ".join(column.name for column in absent))


def with_absent_columns(frame: DataFrame, columns: Collection[TableColumn]) -> DataFrame:
    """Append the nullable columns that a table of an older release lacks, as nulls."""
    absent = [column for column in _absent(columns, frame.columns) if column.is_nullable]
    if not absent:
        return frame
    nulls = [F.lit(None).cast(spark_ddl(column.dtype)).alias(column.name) for column in absent]
    return frame.select("*", *nulls)


def _absent(columns: Collection[TableColumn], found: Collection[str]) -> tuple[TableColumn, ...]:
    """Delta's column names differ by more than case."""
    known = {name.casefold() for name in found}
    return tuple(column for column in columns if column.name.casefold() not in known)
