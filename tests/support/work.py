"""Counting Spark's work: how many jobs ran."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import SparkSession

__all__ = ["count_jobs"]


def count_jobs(spark: SparkSession) -> Callable[[], int]:
    """Give a function that counts the jobs that were started since."""
    scheduler = spark.sparkContext._jsc.sc().dagScheduler()  # type: ignore[union-attr]
    first = scheduler.numTotalJobs()
    return lambda: int(scheduler.numTotalJobs() - first)
