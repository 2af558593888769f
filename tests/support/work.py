"""Counting Spark's work: how many jobs ran, how many bytes were read."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import SparkSession

__all__ = ["bytes_read", "count_jobs"]


def count_jobs(spark: SparkSession) -> Callable[[], int]:
    """Give a function that counts the jobs that were started since."""
    scheduler = spark.sparkContext._jsc.sc().dagScheduler()  # type: ignore[union-attr]
    first = scheduler.numTotalJobs()
    return lambda: int(scheduler.numTotalJobs() - first)


def bytes_read(spark: SparkSession) -> Callable[[], int]:
    """Give a function that counts the bytes that Hadoop's file systems read since: data, and the logs of Delta."""
    systems = spark._jvm.org.apache.hadoop.fs.FileSystem  # type: ignore[union-attr]

    def total() -> int:
        return sum(int(entry.getBytesRead()) for entry in systems.getAllStatistics())

    first = total()
    return lambda: total() - first
