"""The Spark session, with all settings that results depend on pinned in code; sizes come from ``spark_conf/``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pyspark.sql import SparkSession

from featurestore.errors import SettingsError

__all__ = ["PINNED", "build_session", "use_session"]

PINNED: Mapping[str, str] = MappingProxyType(
    {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_LTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Nanosecond columns are read as integers and converted in sources.py; Spark refuses them otherwise.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.storeAssignmentPolicy": "ANSI",
        "spark.sql.mapKeyDedupPolicy": "EXCEPTION",
        "spark.sql.legacy.timeParserPolicy": "EXCEPTION",
        # Delta column names are not case-sensitive, so neither is anything here.
        "spark.sql.caseSensitive": "false",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
        "spark.sql.files.ignoreCorruptFiles": "false",
        # A part of the plan dropped as empty at run time would take the counts of the rows it read with it.
        "spark.sql.adaptive.optimizer.excludedRules": (
            "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation"
        ),
        # Floats are folded over sorted rows: a sort aggregate keeps the order, a hash aggregate may spill and lose it.
        "spark.sql.execution.replaceHashWithSortAgg": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
        "spark.speculation": "false",
        # Else each call on a column tells the JVM which Python line it is from, in several round trips: a third of the
        # time that it takes to build the plan of a step. Messages name the column and the view without it.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        # A build of tiles that has no row is in the log all the same: else it would be built for ever.
        "spark.databricks.delta.skipRecordingEmptyCommits": "false",
        # A publication reads what was appended since its marker, however long ago: upkeep keeps those files.
        "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
)


def build_session(app_name: str, *, master: str | None = None, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Start (or take) the process's session.

    Master, sizes, class path and Java are what spark-submit gave; an in-process session gets them by ``master`` and
    ``extra``. A pinned setting cannot be set otherwise.
    """
    extra = extra or {}
    refused = [name for name in extra if name in PINNED and extra[name] != PINNED[name]]
    if refused:
        lines = ", ".join(f"{name}={extra[name]} (pinned: {PINNED[name]})" for name in sorted(refused))
        raise SettingsError(f"results depend on these Spark settings, so they cannot be changed: {lines}; remove them")
    builder = SparkSession.builder.appName(app_name)
    if master is not None:
        builder = builder.master(master)
    for name, value in {**extra, **PINNED}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def use_session(spark: SparkSession) -> None:
    """Make the session this thread's: writers of Delta tables ask for that, and for a process-wide one only without."""
    assert spark._jvm is not None
    spark._jvm.SparkSession.setActiveSession(spark._jsparkSession)
