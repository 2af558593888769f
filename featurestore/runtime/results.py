"""What a job did, as values and as the one JSON line that callers parse."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.errors import ExitCode, FeatureStoreError, GateRefused
from featurestore.intervals import Interval, show_instant
from featurestore.plan.upkeep import UpkeepStep

__all__ = [
    "RESULT_PREFIX",
    "IntervalResult",
    "JobResult",
    "Outcome",
    "PublicationResult",
    "UpkeepResult",
    "ViewResult",
    "describe_error",
    "gravest",
]

RESULT_PREFIX = "FEATURESTORE_RESULT "

Outcome = ExitCode
_OUTCOME_NAMES = {
    ExitCode.DONE: "done",
    ExitCode.USAGE: "usage",
    ExitCode.REFUSED: "refused",
    ExitCode.FAILED: "failed",
    ExitCode.RETRY_LATER: "retry_later",
    ExitCode.NOTHING_TO_DO: "nothing_to_do",
}
_SEVERITY = (
    ExitCode.REFUSED,
    ExitCode.USAGE,
    ExitCode.FAILED,
    ExitCode.RETRY_LATER,
    ExitCode.DONE,
    ExitCode.NOTHING_TO_DO,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalResult:
    """One run, of one step or several: ``rows`` were appended; ``seconds`` by phase (compute, gate, wait, commit).

    ``counts`` are the engine's: of a prediction view ``entities`` and, of these, ``predicted``. ``cost`` is what Spark
    took: ``spark_jobs``, ``task_ms``, ``input_bytes``.
    """

    interval: Interval
    outcome: Outcome
    steps: int = 1
    rows: int = 0
    generation: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "start": show_instant(self.interval.start),
            "end": show_instant(self.interval.end),
            "state": _OUTCOME_NAMES[self.outcome],
            "steps": self.steps,
            "rows": self.rows,
            "generation": self.generation,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "warnings": list(self.warnings),
            "counts": dict(self.counts),
            "cost": dict(self.cost),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationResult:
    """Rows sent to the online store, and what came of them.

    ``ignored`` were older than or equal to what stands, ``expired`` past their ttl already when they were sent.
    ``checked`` keys were read back, ``sampled`` ones that this publication did not send.
    """

    sent: int = 0
    ignored: int = 0
    bytes_sent: int = 0
    expired: int = 0
    checked: int = 0
    sampled: int = 0

    @property
    def written(self) -> int:
        return self.sent - self.ignored

    def to_dict(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "written": self.written,
            "ignored": self.ignored,
            "expired": self.expired,
            "bytes": self.bytes_sent,
            "checked": self.checked,
            "sampled": self.sampled,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepResult:
    """What upkeep found to do to one table, and unless it was a dry run, what came of it."""

    step: UpkeepStep
    rows_removed: int = 0
    files_removed: int = 0
    files_added: int = 0
    bytes_written: int = 0
    files_deleted: int = 0
    is_dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        done = {
            "rows_removed": self.rows_removed,
            "files_removed": self.files_removed,
            "files_added": self.files_added,
            "bytes_written": self.bytes_written,
            "files_deleted": self.files_deleted,
        }
        return self.step.to_dict() | ({} if self.is_dry_run else {"done": done})


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewResult:
    """All that a job did for one view."""

    view: str
    outcome: Outcome
    intervals: tuple[IntervalResult, ...] = ()
    error: Mapping[str, Any] | None = None
    published: PublicationResult | None = None
    upkeep: tuple[UpkeepResult, ...] = ()
    served_rows: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return sum(interval.rows for interval in self.intervals)

    @property
    def steps(self) -> int:
        """How many steps its runs did."""
        return sum(interval.steps for interval in self.intervals)

    @property
    def counts(self) -> Mapping[str, int]:
        """The engine's counts of all steps together."""
        total: Counter[str] = Counter()
        for interval in self.intervals:
            total.update(interval.counts)
        return total

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": _OUTCOME_NAMES[self.outcome],
            "intervals": [interval.to_dict() for interval in self.intervals],
            "error": dict(self.error) if self.error else None,
            "rows": self.rows,
            "steps": self.steps,
            "published": self.published.to_dict() if self.published else None,
            "seconds": round(self.seconds, 3),
            **({"upkeep": [table.to_dict() for table in self.upkeep]} if self.upkeep else {}),
            **({"served_rows": self.served_rows} if self.served_rows else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A job's views; its exit code is the gravest of theirs. ``pace``: steps, and how fast they went."""

    views: tuple[ViewResult, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    pace: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        return gravest(view.outcome for view in self.views)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": _OUTCOME_NAMES[self.exit_code],
            "exit_code": int(self.exit_code),
            "views": {view.view: view.to_dict() for view in self.views},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "pace": dict(self.pace),
        }

    def to_line(self) -> str:
        """Write the result line that the orchestrator looks for on stdout."""
        return RESULT_PREFIX + json.dumps(self.to_dict(), sort_keys=True, default=str)


def gravest(outcomes: Iterable[Outcome]) -> Outcome:
    """Choose the outcome that decides what happens next; none at all is nothing to do."""
    return min(outcomes, key=_SEVERITY.index, default=ExitCode.NOTHING_TO_DO)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Give an error as JSON values: type, message, and for a refusal the first rule, its sample and the report."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, FeatureStoreError):
        described |= {name: value for name, value in error.context.items() if name not in described}
    if isinstance(error, GateRefused) and error.failures:
        first = error.failures[0]
        described |= {"rule": first.get("expectation"), "sample": first.get("sample"), "report": error.report}
    return described
