"""The runs of one view: computed side by side, committed one after the other, so the table is as if made in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby

from featurestore.engines.spark.job_costs import share_cores
from featurestore.engines.spark.session import use_session
from featurestore.errors import (
    DefinitionError,
    FeatureStoreError,
    GateRefused,
    InputNotReady,
    IntervalBusy,
    SchemaMismatch,
    SettingsError,
    ToolMissing,
    TransformationFailed,
)
from featurestore.intervals import Interval
from featurestore.ir.nodes import ViewNode
from featurestore.plan.stages import ComputeStage
from featurestore.runtime.compute import Turn, compute_interval, steps_of, unready
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.failures import foreign_errors, told_as
from featurestore.runtime.readiness import reasons_by_step
from featurestore.runtime.results import IntervalResult, gravest
from featurestore.stores.base import RunState

__all__ = ["Line"]

logger = logging.getLogger(__name__)

_ALL_ALIKE = (DefinitionError, SchemaMismatch, SettingsError, ToolMissing, TransformationFailed)
"""Errors that other steps would end with too."""

_MOST_FAILURES = 3
"""So many single steps may fail in a row before the rest is left out."""


@dataclass(slots=True)
class Line:
    """Does the stages of a view in order of time, ``parallel`` of them at once.

    A run of several steps that fails or is refused is halved, down to the steps that are at fault; steps that are not
    ready are left out, and the others go on. ``begins`` is told each run, ``advanced`` how many steps are settled.
    """

    context: RuntimeContext
    view: ViewNode
    stages: Sequence[ComputeStage]
    parallel: int
    begins: Callable[[ComputeStage], None]
    advanced: Callable[[int], None]
    done: list[IntervalResult] = field(default_factory=list)
    errors: list[tuple[Interval, FeatureStoreError]] = field(default_factory=list)
    _ended: list[threading.Event] = field(default_factory=list)
    _failures: int = 0
    _stops: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Do all there is to do; what came of it is in ``done`` and ``errors``, in order of time."""
        self._ended = [threading.Event() for _ in self.stages]
        if self.parallel == 1 or len(self.stages) == 1:
            for stage in self.stages:
                self._attempt(stage, None)
        else:
            self._run_side_by_side()
        self.done.sort(key=lambda result: result.interval)
        self.errors.sort(key=lambda entry: entry[0])

    @property
    def error(self) -> FeatureStoreError | None:
        """The error to tell: the earliest of the gravest kind."""
        if not self.errors:
            return None
        outcome = gravest(error.exit_code for _, error in self.errors)
        return next(error for _, error in self.errors if error.exit_code == outcome)

    def _run_side_by_side(self) -> None:
        self.context.offline, self.context.engine, self.context.manifest  # noqa: B018 - opened once, before the threads
        with ThreadPoolExecutor(
            self.parallel, thread_name_prefix=f"run {self.view.name}", initializer=self._begin_thread
        ) as pool:
            futures = [pool.submit(self._take, number) for number in range(len(self.stages))]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._stops.set()
                self._cancel()
                raise

    def _begin_thread(self) -> None:
        use_session(self.context.spark)
        share_cores(self.context.spark, threading.current_thread().name)

    def _take(self, number: int) -> None:
        try:
            self._attempt(self.stages[number], self._turn(number))
        finally:
            self._ended[number].set()

    def _turn(self, number: int) -> Turn | None:
        if number == 0:
            return None
        front, own = self.stages[number - 1].interval, self.stages[number].interval
        return Turn(before=self._ended[number - 1], follows=own.start if front.end == own.start else None)

    def _cancel(self) -> None:
        """End the Spark jobs of runs that other threads work on: those fail then, and give their claims back."""
        for run in self.context.ledger.runs(self.view.name, self.view.version):
            if run.state is RunState.CLAIMED and run.owner == self.context.owner:
                self.context.spark.sparkContext.cancelJobGroup(run.run_id)

    def _attempt(self, stage: ComputeStage, turn: Turn | None) -> None:
        """Do the steps that are ready, each row of them as one run."""
        if self._stops.is_set():
            return
        steps = steps_of(self.view, stage)
        reasons = reasons_by_step(self.context, self.view, steps)
        if turn is not None and not turn.before.is_set() and any(reasons.values()):
            turn.before.wait()
            reasons = reasons_by_step(self.context, self.view, steps)
        for is_waiting, group in groupby(steps, key=lambda step: bool(reasons[step])):
            part = _part(stage, tuple(group))
            if is_waiting:
                step = next(step for step in steps if step.start == part.interval.start)
                self._fail(part, unready(self.view, step, reasons[step]))
            else:
                self._compute(part, turn)

    def _compute(self, stage: ComputeStage, turn: Turn | None) -> None:
        self.begins(stage)
        try:
            result = compute_interval(self.context, stage, turn)
        except InputNotReady:
            self._attempt(stage, turn)
        except FeatureStoreError as error:
            self._divide(stage, turn, error)
        except foreign_errors() as error:
            logger.exception("%s failed", stage)
            self._divide(stage, turn, told_as(stage, error))
        else:
            with self._lock:
                self._failures = 0
                self.done.append(result)
            self.advanced(stage.steps)

    def _divide(self, stage: ComputeStage, turn: Turn | None, error: FeatureStoreError) -> None:
        """Do a run's halves where the whole failed; of a single step, or of all alike, keep the error."""
        if stage.steps == 1 or isinstance(error, _ALL_ALIKE) or self._stops.is_set():
            self._fail(stage, error)
            return
        logger.warning("%s: %s; its halves are done apart", stage, error)
        steps = steps_of(self.view, stage)
        middle = len(steps) // 2
        for half in (steps[:middle], steps[middle:]):
            self._attempt(_part(stage, half), turn)

    def _fail(self, stage: ComputeStage, error: FeatureStoreError) -> None:
        logger.error("%s: %s", stage, error)
        with self._lock:
            self.errors.append((stage.interval, error))
            if not isinstance(error, GateRefused | InputNotReady | IntervalBusy):
                self._failures += 1
                if isinstance(error, _ALL_ALIKE) or self._failures >= _MOST_FAILURES:
                    self._stops.set()
        self.advanced(stage.steps)


def _part(stage: ComputeStage, steps: Sequence[Interval]) -> ComputeStage:
    """Give the run of some of a run's steps, which follow each other."""
    return replace(stage, interval=Interval(steps[0].start, steps[-1].end), steps=len(steps))
