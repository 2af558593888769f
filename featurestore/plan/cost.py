"""What steps of a view take: by the runs that the ledger remembers, else by the statistics of what they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Protocol

__all__ = ["PastRun", "StepCost", "WorkCost", "core_seconds_a_byte", "step_cost", "steps_of", "work_cost"]

_SAMPLE = 30
"""An estimate looks at this many of a view's last runs."""


class PastRun(Protocol):
    """A ledger row as estimates see it; ``delta_version`` is None unless the run is done."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def delta_version(self) -> int | None: ...
    @property
    def claimed_at(self) -> datetime | None: ...
    @property
    def updated_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """One step in the median of ``runs`` earlier runs; None where those did not say.

    ``rows`` are appended, ``seconds`` pass on the clock, ``task_seconds`` of one core are used, ``input_bytes`` read.
    """

    runs: int
    rows: float | None = None
    seconds: float | None = None
    task_seconds: float | None = None
    input_bytes: float | None = None


def step_cost(runs: Iterable[PastRun]) -> StepCost | None:
    """Estimate a step by the last done runs; where some did many steps at once, by those: that is what is repeated."""
    done = sorted((run for run in runs if run.delta_version is not None), key=lambda run: run.updated_at)
    if not done:
        return None
    most = max(map(steps_of, done))
    sample = [run for run in done if 2 * steps_of(run) >= most][-_SAMPLE:]
    task_ms = _by_step(sample, "task_ms")
    return StepCost(
        runs=len(sample),
        rows=_by_step(sample, "rows_appended"),
        seconds=_median(
            [
                (run.updated_at - run.claimed_at).total_seconds() / steps_of(run)
                for run in sample
                if run.claimed_at is not None
            ]
        ),
        task_seconds=None if task_ms is None else task_ms / 1000,
        input_bytes=_by_step(sample, "input_bytes"),
    )


def steps_of(run: PastRun) -> int:
    """Give the number of steps that a run did."""
    return max(run.counts.get("steps", 1), 1)


def _by_step(runs: Sequence[PastRun], count: str) -> float | None:
    return _median([run.counts[count] / steps_of(run) for run in runs if count in run.counts])


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkCost:
    """About what some steps of a view take; None is unknown. ``basis`` says what the estimate is made of.

    ``seconds`` pass on the clock when one run follows the other, ``core_seconds`` are of one core. ``read_bytes`` come
    from the sources, ``delta_bytes`` are what the new rows take in Delta.
    """

    basis: str = ""
    rows: int | None = None
    seconds: float | None = None
    core_seconds: float | None = None
    read_bytes: int | None = None
    delta_bytes: int | None = None


def work_cost(history: StepCost, steps: int, *, version: int, row_bytes: float | None) -> WorkCost:
    """Estimate steps by what earlier ones took, in runs of a version of the view."""
    rows = None if history.rows is None else history.rows * steps
    many = "1 run" if history.runs == 1 else f"{history.runs} runs"
    return WorkCost(
        basis=f"{many} of version {version}",
        rows=_rounded(rows),
        seconds=None if history.seconds is None else history.seconds * steps,
        core_seconds=None if history.task_seconds is None else history.task_seconds * steps,
        read_bytes=_rounded(None if history.input_bytes is None else history.input_bytes * steps),
        delta_bytes=_rounded(None if rows is None or row_bytes is None else rows * row_bytes),
    )


def core_seconds_a_byte(runs: Iterable[PastRun]) -> float | None:
    """Give the core time that done runs, of any views, took for a byte that they read; None where none said."""
    counts = [run.counts for run in runs if run.delta_version is not None and run.counts.get("input_bytes")]
    read = sum(count["input_bytes"] for count in counts)
    return sum(count.get("task_ms", 0) for count in counts) / 1000 / read if read else None


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
