"""The offline store: one append-only, bitemporal Delta table for each view version."""

from __future__ import annotations

import logging
import random
from datetime import datetime

import pyarrow as pa
from delta.exceptions import ConcurrentTransactionException, MetadataChangedException, ProtocolChangedException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from featurestore.codec.arrow import arrow_type
from featurestore.errors import IntervalBusy, Problem, SchemaMismatch, StateError
from featurestore.intervals import Interval
from featurestore.ir.columns import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    IS_DELETED,
    stored_features,
    table_location,
)
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import StoredViewNode
from featurestore.stores.base import CommitRecord
from featurestore.stores.commit_json import commit_to_json
from featurestore.stores.delta_creation import create_table
from featurestore.stores.delta_evolution import add_absent_columns, with_absent_columns
from featurestore.stores.delta_log import DeltaLog
from featurestore.stores.delta_schema import (
    CLUSTERED_BY,
    columns_ddl,
    table_columns,
    table_properties,
)
from featurestore.stores.hadoop_files import delete_folder
from featurestore.stores.parquet_sample import sample_file
from featurestore.stores.time_bounds import may_hold

__all__ = ["DeltaStore"]

_LOG = logging.getLogger(__name__)
_RANK = "_rank"


class DeltaStore:
    """View tables under ``root``, a folder or an object-store address.

    A table holds one row for each (join keys, event_timestamp, created_timestamp); the greatest created counts. Every
    read is pinned to the version that is newest when it is asked for: rows derived from it can be appended to the same
    table without a conflict with other intervals' appends (an unpinned read would make Delta refuse all but one).
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        self._spark = spark
        self._root = root.rstrip("/")

    def path(self, view: StoredViewNode) -> str:
        return f"{self._root}/{table_location(view)}"

    def exists(self, view: StoredViewNode) -> bool:
        return self.latest_version(view) is not None

    def latest_version(self, view: StoredViewNode) -> int | None:
        """Give the table's newest Delta version, None where there is no table. Starts no Spark job."""
        return DeltaLog(self.path(view)).latest_version()

    def commits(self, view: StoredViewNode) -> list[CommitRecord]:
        """Give the commits of runs from the Delta log alone, oldest first. Starts no Spark job."""
        return DeltaLog(self.path(view)).commits()

    def rows_after(self, view: StoredViewNode, version: int | None) -> int:
        """Count the rows appended after a version (None: all), as the log says. Starts no Spark job."""
        return DeltaLog(self.path(view)).rows_after(version)

    def may_hold_deletions(self, view: StoredViewNode) -> bool:
        """Say whether any row can be a deletion: a table of first statements alone has none. Starts no Spark job."""
        return DeltaLog(self.path(view)).has_restatements()

    def may_hold(self, view: StoredViewNode, within: Interval) -> bool:
        """Say whether any row may have its event time in a range, deletions included. Starts no Spark job."""
        return may_hold(self.path(view), EVENT_TIMESTAMP, within)

    def ensure_table(self, view: StoredViewNode) -> str:
        """Create the table if it is not there, and give its path. Idempotent, beside other creators too.

        A table of an older release that lacks nullable columns gets them by a change of its metadata alone.
        """
        path = self.path(view)
        if self.exists(view):
            add_absent_columns(self._spark, path, table_columns(view))
            return path
        create_table(self._spark, path, _struct(view), table_properties(view), clustered_by=CLUSTERED_BY)
        return path

    def append(
        self,
        frame: DataFrame,
        view: StoredViewNode,
        commit: CommitRecord,
        *,
        app_id: str,
    ) -> CommitRecord:
        """Commit a run's rows by one Delta append, and give the record with its Delta version.

        Idempotent by (``app_id``, generation): a retry of the same run changes nothing and gets the first record. No
        rows make an empty commit. Appends of different intervals never disturb each other. IntervalBusy when another
        run committed this generation, or a later one, before.
        """
        path = self.ensure_table(view)
        rows = self._conform(frame, view)
        writer = rows.write.format("delta").mode("append").option("userMetadata", commit_to_json(commit))
        writer = writer.option("txnAppId", app_id).option("txnVersion", commit.generation)
        try:
            _save(writer, path)
        except ConcurrentTransactionException:
            _LOG.info(
                "another run of %s v%s %s committed meanwhile",
                view.name,
                view.version,
                commit.interval,
            )
        return self._read_back(view, commit)

    def append_rows(self, frame: DataFrame, view: StoredViewNode, *, app_id: str, metadata: str) -> int:
        """Commit rows that no run computed, by one append; give how many. Idempotent by ``app_id``."""
        path = self.ensure_table(view)
        before = self.latest_version(view)
        writer = self._conform(frame, view).write.format("delta").mode("append").option("userMetadata", metadata)
        try:
            _save(writer.option("txnAppId", app_id).option("txnVersion", 1), path)
        except ConcurrentTransactionException:
            _LOG.info("the same rows of %s v%s were committed meanwhile", view.name, view.version)
        return DeltaLog(path).rows_after(before)

    def standing(
        self,
        view: StoredViewNode,
        *,
        within: Interval | None = None,
        created_until: datetime | None = None,
        include_deleted: bool = False,
    ) -> DataFrame:
        """Read the rows that count: of several with one event time the one created last, unless it says deleted.

        Columns: keys, event_timestamp, created_timestamp, stored features; with ``include_deleted`` also is_deleted,
        and deletions stay. ``within`` bounds event times; ``created_until`` leaves out later statements.
        """
        keys = [key.name for key in view.join_keys]
        values = [feature.name for feature in stored_features(view)]
        rows = self._read(view)
        if within is not None:
            at = F.col(EVENT_TIMESTAMP)
            rows = rows.where((at >= F.lit(within.start)) & (at < F.lit(within.end)))
        if created_until is not None:
            rows = rows.where(F.col(CREATED_TIMESTAMP) <= F.lit(created_until))
        newest = Window.partitionBy(*map(quote, keys), EVENT_TIMESTAMP).orderBy(F.col(CREATED_TIMESTAMP).desc())
        ranked = rows.withColumn(_RANK, F.row_number().over(newest)).where(F.col(_RANK) == 1)
        columns = [*keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP, *values]
        if include_deleted:
            return ranked.select(*map(quote, [*columns, IS_DELETED]))
        return ranked.where(~F.col(IS_DELETED)).select(*map(quote, columns))

    def appended(self, view: StoredViewNode, after_version: int | None, up_to: int) -> DataFrame:
        """Read the rows appended in Delta versions ``(after_version, up_to]``, all columns; None: from the start.

        Compaction in between gives no rows twice.
        """
        columns = [quote(column.name) for column in table_columns(view)]
        if after_version is None:
            return self._read(view, version=up_to).select(*columns)
        if after_version >= up_to:
            return self._read(view, version=up_to).where(F.lit(False)).select(*columns)
        reader = self._spark.read.format("delta").option("readChangeFeed", "true")
        changes = (
            reader.option("startingVersion", after_version + 1).option("endingVersion", up_to).load(self.path(view))
        )
        changes = with_absent_columns(changes, table_columns(view))
        return changes.where(F.col("_change_type") == "insert").select(*columns)

    def sample(self, view: StoredViewNode, version: int, rows: int) -> pa.Table:
        """Read some neighbouring rows of a file picked at random, superseded ones included. Starts no Spark job."""
        files = DeltaLog(self.path(view)).files(version)
        schema = pa.schema([(column.name, arrow_type(column.dtype)) for column in table_columns(view)])
        return sample_file(random.choice(files), schema, rows) if files else schema.empty_table()

    def rows(self, view: StoredViewNode) -> DataFrame:
        """Read all rows, superseded and deleted ones included, all columns."""
        return self._read(view)

    def write_staging(self, frame: DataFrame, run_id: str, view: StoredViewNode) -> DataFrame:
        """Compute ``frame`` once into the run's own folder and give it read back; leftovers are overwritten."""
        path = self._staging(run_id, view)
        frame.write.mode("overwrite").parquet(path)
        return self._spark.read.schema(frame.schema).parquet(path)

    def drop_staging(self, run_id: str, view: StoredViewNode) -> None:
        """Delete the run's staging folder; nothing happens where there is none."""
        delete_folder(self._spark, self._staging(run_id, view))

    def drop_table(self, view: StoredViewNode) -> None:
        """Delete the table with its history; nothing happens where there is none."""
        delete_folder(self._spark, self.path(view))

    def _staging(self, run_id: str, view: StoredViewNode) -> str:
        return f"{self._root}/_staging/{view.name}/v{view.version}/{run_id}"

    def _read(self, view: StoredViewNode, *, version: int | None = None) -> DataFrame:
        latest = self.latest_version(view)
        if latest is None or (version is not None and version > latest):
            raise StateError(
                f"view {view.name!r} v{view.version} has no table version {'' if version is None else version} at "
                f"{self.path(view)}; its newest is {latest}: materialize the view first",
                view=view.name,
                version=view.version,
            )
        pinned = self._spark.read.format("delta").option("versionAsOf", latest if version is None else version)
        return with_absent_columns(pinned.load(self.path(view)), table_columns(view))

    def _conform(self, frame: DataFrame, view: StoredViewNode) -> DataFrame:
        expected = _struct(view)
        found = {field.name: field.dataType.simpleString() for field in frame.schema}
        problems = [
            Problem(
                location=f"table of {view.name} v{view.version}",
                object=field.name,
                message=f"is {found.get(field.name, 'absent')} in the rows to append; it must be "
                f"{field.dataType.simpleString()}",
            )
            for field in expected
            if found.get(field.name) != field.dataType.simpleString()
        ]
        problems += [
            Problem(
                location=f"table of {view.name} v{view.version}",
                object=name,
                message=f"is no column of the table; leave it out. Columns are {', '.join(expected.names)}",
            )
            for name in found
            if name not in expected.names
        ]
        if problems:
            raise SchemaMismatch(problems)
        return frame.select(*map(quote, expected.names))

    def _read_back(self, view: StoredViewNode, commit: CommitRecord) -> CommitRecord:
        for record in DeltaLog(self.path(view)).recent_commits():
            if record.interval != commit.interval or record.generation < commit.generation:
                continue
            if record.run_id == commit.run_id and record.generation == commit.generation:
                return record
            raise IntervalBusy(
                f"run {commit.run_id} of {view.name} v{view.version} {commit.interval} committed nothing: generation "
                f"{record.generation} of the interval was committed before by run {record.run_id} as Delta version "
                f"{record.delta_version}; its rows stand, and this run's generation is {commit.generation}",
                view=view.name,
                version=view.version,
                interval=str(commit.interval),
                run_id=commit.run_id,
                winner=record.run_id,
                generation=record.generation,
            )
        raise StateError(
            f"run {commit.run_id} of {view.name} v{view.version} {commit.interval} is not in the log of "
            f"{self.path(view)}, nor is another run of the interval; was the table replaced meanwhile?",
            view=view.name,
            version=view.version,
            interval=str(commit.interval),
        )


def _save(writer: DataFrameWriter, path: str) -> None:
    """Append; once more where columns, properties or features of the table changed meanwhile: no row depends on them.

    The writer's transaction id makes the rows come once.
    """
    try:
        writer.save(path)
    except (MetadataChangedException, ProtocolChangedException):
        writer.save(path)


def _struct(view: StoredViewNode) -> StructType:
    struct = StructType.fromDDL(columns_ddl(table_columns(view)))
    assert isinstance(struct, StructType)
    return struct
