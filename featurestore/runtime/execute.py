"""Carry out planned stages, one view after the other, and say what came of each view."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import assert_never

from featurestore.errors import ExitCode, FeatureStoreError
from featurestore.plan.cost import StepCost
from featurestore.plan.stages import ComputeStage, PublishStage, RepairStage, ScoreStage, Stage
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.failures import foreign_errors, told_as
from featurestore.runtime.landing import append_landed
from featurestore.runtime.late_data import repair_view
from featurestore.runtime.line import Line
from featurestore.runtime.pace import Pace, Progress, silent
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

__all__ = ["Progress", "execute", "silent"]

logger = logging.getLogger(__name__)


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
    context: RuntimeContext,
    stages: Sequence[Stage],
    *,
    views: Iterable[str],
    progress: Progress = silent,
    costs: Mapping[str, StepCost | None] | None = None,
    parallel: int = 1,
) -> JobResult:
    """Run ``stages`` in order; of the computations of one view ``parallel`` at once.

    Steps of a feature view that are refused, busy or not ready are left out, and its other steps go on (``Line`` says
    when it gives up); of a prediction view the later steps are left out. Views that read them are not ready there;
    what is committed is published all the same. ``views`` are named in the result even when they had nothing to do.
    What Spark, Delta or a database raises is a RunFailed of that view. ``costs``: see ``Pace``.
    """
    started = time.monotonic()
    pace = Pace(stages, costs or {}, progress=progress, clock=time.monotonic)
    logs = {name: _ViewLog(name) for name in views}
    for (view, is_computed), group in groupby(stages, key=lambda s: (s.view, isinstance(s, ComputeStage))):
        log = logs.setdefault(view, _ViewLog(view))
        stage_started = time.monotonic()
        if is_computed:
            _compute(context, [s for s in group if isinstance(s, ComputeStage)], log, pace, parallel)
        else:
            for stage in group:
                _guarded(context, stage, log, pace)
        log.seconds += time.monotonic() - stage_started
    return JobResult(
        views=tuple(log.result() for log in logs.values()),
        seconds={"stages": time.monotonic() - started},
        pace=pace.to_dict(),
    )


def _compute(context: RuntimeContext, stages: Sequence[ComputeStage], log: _ViewLog, pace: Pace, parallel: int) -> None:
    """Do the runs of one feature view."""
    view = context.manifest.views[log.view]
    line = Line(
        context=context,
        view=view,
        stages=stages,
        parallel=parallel,
        begins=pace.begin,
        advanced=partial(pace.settle, view.name),
    )
    try:
        line.run()
    finally:
        log.intervals += line.done
        log.error = log.error or line.error


def _guarded(context: RuntimeContext, stage: Stage, log: _ViewLog, pace: Pace) -> None:
    """Run one stage, and keep what it ends with; after a failure only publications run."""
    if log.error is not None and isinstance(stage, ScoreStage):
        pace.settle(stage.view, stage.steps)
        return
    pace.begin(stage)
    try:
        _run(context, stage, log)
    except FeatureStoreError as error:
        logger.error("%s: %s", stage, error)
        log.error = log.error or error
    except foreign_errors() as error:
        logger.exception("%s failed", stage)
        log.error = log.error or told_as(stage, error)
    if isinstance(stage, RepairStage | PublishStage):
        pace.passed()
    else:
        pace.settle(stage.view, stage.steps)


def _run(context: RuntimeContext, stage: Stage, log: _ViewLog) -> None:
    view = context.manifest.stored_view(stage.view)
    match stage:
        case RepairStage():
            log.intervals += repair_view(context, stage)
        case ComputeStage():
            raise AssertionError("runs of feature views are done in a line")
        case ScoreStage():
            log.intervals.append(score_interval(context, stage))
        case PublishStage():
            recover(context, view)
            append_landed(context, view)
            log.published = publish_view(context, view)
        case _:
            assert_never(stage)
