"""How far a job is, how fast it goes, and how long it will still take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from featurestore.intervals import show_duration
from featurestore.plan.cost import StepCost
from featurestore.plan.stages import PublishStage, RepairStage, Stage

__all__ = ["Pace", "Progress", "silent"]


class Progress(Protocol):
    """Told before each stage and after each run: which unit of work is next, of how many, and what is said of it.

    A step is a unit, and so is a publication.
    """

    def __call__(self, number: int, total: int, text: str) -> None: ...


def silent(number: int, total: int, text: str) -> None:
    """Show nothing."""


@dataclass(slots=True)
class _View:
    """Steps of one view; ``seconds`` is what one takes by earlier runs."""

    steps: int = 0
    settled: int = 0
    seconds: float | None = None


class Pace:
    """Counts the steps of stages as they are settled, from any thread.

    The time left is what earlier runs took for such steps, until the first steps of this job are settled; from then on
    that estimate is scaled by how long those took. Where earlier runs of a view say nothing, all steps count alike.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        costs: Mapping[str, StepCost | None],
        *,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._progress, self._clock, self._started = progress, clock, clock()
        self._lock = threading.Lock()
        self._views: dict[str, _View] = {}
        for stage in stages:
            if not isinstance(stage, RepairStage | PublishStage):
                cost = costs.get(stage.view)
                view = self._views.setdefault(stage.view, _View(seconds=None if cost is None else cost.seconds))
                view.steps += stage.steps
        self._total = self.steps + sum(isinstance(stage, RepairStage | PublishStage) for stage in stages)
        self._units = 0
        self.estimated_seconds = self._estimate()

    @property
    def steps(self) -> int:
        return sum(view.steps for view in self._views.values())

    @property
    def settled(self) -> int:
        return sum(view.settled for view in self._views.values())

    def begin(self, stage: Stage) -> None:
        """Say which stage is next."""
        self._progress(self._units + 1, self._total, str(stage))

    def passed(self) -> None:
        """Count a repair, of which nobody knows before how many steps it has, or a publication."""
        self._units += 1

    def settle(self, view: str, steps: int) -> None:
        """Count steps that are done, or left out; say how far the view is when there is more to do."""
        with self._lock:
            self._units += steps
            self._views[view].settled += steps
            if self._views[view].settled < self._views[view].steps:
                self._progress(self._units + 1, self._total, self.text(view))

    def text(self, view: str) -> str:
        """Say how far a view is: steps settled of all, steps a second, time left."""
        own, left = self._views[view], self.seconds_left()
        rate = f", {self.steps_per_second:.3g} steps/s" if self.steps_per_second else ""
        until = "" if left is None else f", about {show_duration(timedelta(seconds=round(left)))} left"
        return f"{view}: {own.settled:,} of {own.steps:,} steps{rate}{until}"

    @property
    def steps_per_second(self) -> float | None:
        """Steps settled in a second since the start; None before the first."""
        seconds = self._clock() - self._started
        return self.settled / seconds if self.settled and seconds > 0 else None

    def seconds_left(self) -> float | None:
        """Estimate the time until the last step is settled; None when nothing says."""
        if not self.settled:
            return self.estimated_seconds
        are_alike = self.estimated_seconds is None
        done = sum(view.settled * (1 if are_alike else view.seconds or 0) for view in self._views.values())
        whole = sum(view.steps * (1 if are_alike else view.seconds or 0) for view in self._views.values())
        return (whole - done) * (self._clock() - self._started) / done if done else None

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as JSON values; ``estimated_seconds`` is what earlier runs said before the start."""
        rate, estimated = self.steps_per_second, self.estimated_seconds
        return {
            "steps": self.steps,
            "settled": self.settled,
            "steps_per_second": None if rate is None else round(rate, 4),
            "estimated_seconds": None if estimated is None else round(estimated, 1),
        }

    def _estimate(self) -> float | None:
        """Add up what the steps took before; None where some view's runs did not say."""
        seconds = [None if view.seconds is None else view.seconds * view.steps for view in self._views.values()]
        return None if not seconds or None in seconds else sum(second for second in seconds if second is not None)
