"""Carry out planned stages, one after the other, and say what came of each view."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, assert_never

from featurestore.errors import ExitCode, FeatureStoreError, RunFailed
from featurestore.plan.stages import ComputeStage, PublishStage, ScoreStage, Stage
from featurestore.runtime.compute import compute_interval
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.landing import append_landed
from featurestore.runtime.publish import publish_view
from featurestore.runtime.results import (
    IntervalResult,
    JobResult,
    PublicationResult,
    ViewResult,
    describe_error,
    gravest,
)
from featurestore.runtime.run import recover
from featurestore.runtime.score import score_interval

__all__ = ["Progress", "execute", "first_line", "foreign_errors", "silent"]

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Told before each stage: which one of how many."""

    def __call__(self, number: int, total: int, text: str) -> None: ...


def silent(number: int, total: int, text: str) -> None:
    """Show nothing."""


class _ViewLog:
    """What happened to one view so far."""

    def __init__(self, view: str) -> None:
        self.view = view
        self.intervals: list[IntervalResult] = []
        self.error: FeatureStoreError | None = None
        self.published: PublicationResult | None = None
        self.seconds = 0.0

    def result(self) -> ViewResult:
        outcomes = [interval.outcome for interval in self.intervals]
        if self.error is not None:
            outcomes.append(self.error.exit_code)
        if self.published is not None:
            outcomes.append(ExitCode.DONE if self.published.sent else ExitCode.NOTHING_TO_DO)
        return ViewResult(
            view=self.view,
            outcome=gravest(outcomes),
            intervals=tuple(self.intervals),
            error=describe_error(self.error) if self.error else None,
            published=self.published,
            seconds=self.seconds,
        )


def execute(
    context: RuntimeContext, stages: Sequence[Stage], *, views: Iterable[str], progress: Progress = silent
) -> JobResult:
    """Run ``stages`` in order.

    A view whose step fails has its later steps left out, and so have the views that read it from there on (they are
    not ready); what is committed is published all the same, and other views go on. ``views`` are named in the result
    even when they had nothing to do. What Spark, Delta or a database raises is a RunFailed of that view.
    """
    started = time.monotonic()
    logs = {name: _ViewLog(name) for name in views}
    for number, stage in enumerate(stages, 1):
        log = logs.setdefault(stage.view, _ViewLog(stage.view))
        if log.error is not None and not isinstance(stage, PublishStage):
            continue
        progress(number, len(stages), str(stage))
        stage_started = time.monotonic()
        try:
            _run(context, stage, log)
        except FeatureStoreError as error:
            logger.error("%s: %s", stage, error)
            log.error = log.error or error
        except foreign_errors() as error:
            logger.exception("%s failed", stage)
            told = RunFailed(f"{stage}: {type(error).__name__}: {first_line(error)}", view=stage.view)
            log.error = log.error or told
        log.seconds += time.monotonic() - stage_started
    return JobResult(views=tuple(log.result() for log in logs.values()), seconds={"stages": time.monotonic() - started})


def _run(context: RuntimeContext, stage: Stage, log: _ViewLog) -> None:
    view = context.manifest.stored_view(stage.view)
    match stage:
        case ComputeStage():
            log.intervals.append(compute_interval(context, stage))
        case ScoreStage():
            log.intervals.append(score_interval(context, stage))
        case PublishStage():
            recover(context, view)
            append_landed(context, view)
            log.published = publish_view(context, view)
        case _:
            assert_never(stage)


@functools.cache
def foreign_errors() -> tuple[type[Exception], ...]:
    """Name what Spark, Delta, Arrow, the registry's database and file systems raise: it ends a stage, not the job."""
    from deltalake.exceptions import DeltaError
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
    from pyarrow.lib import ArrowException
    from pyspark.errors import PySparkException
    from sqlalchemy.exc import SQLAlchemyError

    return (PySparkException, Py4JError, DeltaError, ArrowException, SQLAlchemyError, OSError)


def first_line(error: Exception) -> str:
    """Give the first line of what a foreign error says."""
    text = str(error).strip()
    return text.splitlines()[0][:1000] if text else "no message"
