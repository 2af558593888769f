"""What a run took of Spark: jobs, time of its tasks, bytes read; asked of Spark after the run, at no cost before."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

__all__ = ["COST_COUNTS", "JobCosts", "in_group", "share_cores"]

COST_COUNTS = ("spark_jobs", "task_ms", "input_bytes")
"""Names of a run's costs among its counts in the ledger."""

_GROUP, _DESCRIPTION, _POOL = "spark.jobGroup.id", "spark.job.description", "spark.scheduler.pool"
_EVENTS_MS = 10_000

_logger = logging.getLogger(__name__)


class JobCosts:
    """The jobs that this thread starts in one group."""

    def __init__(self, spark: SparkSession, group: str) -> None:
        self._spark, self._group = spark, group

    def read(self) -> Mapping[str, int]:
        """Give ``COST_COUNTS`` so far: jobs, milliseconds of their tasks, bytes that those read from storage.

        Spark keeps its last thousand jobs and stages; of older ones nothing is counted. Empty where it does not say.
        """
        try:
            return self._read()
        except Py4JError as error:
            _logger.warning("Spark does not say what its jobs took: %s", error)
            return {}

    def _read(self) -> Mapping[str, int]:
        context: Any = self._spark.sparkContext
        jobs = context.statusTracker().getJobIdsForGroup(self._group)
        core = context._jsc.sc()
        core.listenerBus().waitUntilEmpty(_EVENTS_MS)
        store = core.statusStore()
        stages = {stage for job in jobs for stage in _list(store.job(job).stageIds())}
        attempts = [attempt for stage in stages if (attempt := _last_attempt(store, stage)) is not None]
        return {
            "spark_jobs": len(jobs),
            "task_ms": sum(attempt.executorRunTime() for attempt in attempts),
            "input_bytes": sum(attempt.inputBytes() for attempt in attempts),
        }


@contextmanager
def in_group(spark: SparkSession, group: str, description: str) -> Iterator[JobCosts]:
    """Name the jobs that this thread starts; ``spark.sparkContext.cancelJobGroup(group)`` ends them."""
    context = spark.sparkContext
    context.setJobGroup(group, description)
    try:
        yield JobCosts(spark, group)
    finally:
        for name in (_GROUP, _DESCRIPTION):
            context.setLocalProperty(name, None)  # type: ignore[arg-type]


def share_cores(spark: SparkSession, pool: str) -> None:
    """Give this thread's jobs a pool of their own: pools have equal shares where ``spark.scheduler.mode`` is FAIR."""
    spark.sparkContext.setLocalProperty(_POOL, pool)


def _last_attempt(store: Any, stage: int) -> Any:
    """Give a stage's last attempt; None for one that was skipped, which Spark forgets first and which took nothing."""
    try:
        return store.lastStageAttempt(stage)
    except Py4JJavaError:
        return None


def _list(sequence: Any) -> list[int]:
    return [sequence.apply(index) for index in range(sequence.length())]
