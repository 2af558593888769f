"""Every error the package raises on purpose; a caller catches ``FeatureStoreError`` or one of its kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "DeadlineExceeded",
    "DefinitionError",
    "EntityKeyMissing",
    "ExitCode",
    "FeatureNameCollision",
    "FeatureNotFound",
    "FeatureStoreError",
    "GateRefused",
    "InferenceFailed",
    "InferenceOverdue",
    "InputNotReady",
    "IntervalBusy",
    "OnDemandFailed",
    "OnlineStoreUnavailable",
    "PermissionDenied",
    "Problem",
    "QueueFull",
    "ReconciliationFailed",
    "RunFailed",
    "SchemaMismatch",
    "SettingsError",
    "StalePrediction",
    "StateError",
    "ToolMissing",
    "TransformationFailed",
    "UnknownCodec",
]


class ExitCode(IntEnum):
    """What a job or CLI verb tells its caller; Airflow decides on a retry by it."""

    DONE = 0
    USAGE = 2
    REFUSED = 65
    FAILED = 70
    RETRY_LATER = 75
    NOTHING_TO_DO = 99


class FeatureStoreError(Exception):
    """Root of the package's errors.

    ``context`` holds the fields of the message as plain JSON values, for logs and ``--json``.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[FeatureStoreError], args: tuple[object, ...], state: dict[str, object]) -> FeatureStoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing that is wrong: where it is, which object, what was found and what to do."""

    location: str
    object: str
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.object}: {self.message}"


class _ProblemsError(FeatureStoreError, ValueError):
    exit_code = ExitCode.USAGE
    title = "problem"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} {self.title}{'' if len(self.problems) == 1 else 's'}"
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        super().__init__(f"{count}:\n{lines}", problems=[str(problem) for problem in self.problems])


class DefinitionError(_ProblemsError):
    """The definitions are wrong; ``problems`` holds all problems of all definitions."""

    title = "definition problem"


class SchemaMismatch(_ProblemsError):
    """Rows do not fit the schema they are written to; nothing was written."""

    title = "schema problem"


class SettingsError(FeatureStoreError, ValueError):
    """``feature_store.yaml`` or an environment variable is wrong or absent."""

    exit_code = ExitCode.USAGE


class ToolMissing(FeatureStoreError):
    """A program or file that the work needs (Java, Delta jars, redis-server, an extra) is not there."""

    exit_code = ExitCode.FAILED


class StateError(FeatureStoreError):
    """Stored state (registry, ledger, Delta, Redis) does not allow what was asked."""


class UnknownCodec(StateError):
    """A stored value has a codec byte that this release does not know: a newer one wrote it."""


class FeatureNotFound(FeatureStoreError, LookupError):
    """A named view, feature, service or version does not exist."""

    exit_code = ExitCode.USAGE


class EntityKeyMissing(FeatureStoreError, LookupError):
    """An entity row lacks a join key, or holds a value that is not of the key's type."""

    exit_code = ExitCode.USAGE


class FeatureNameCollision(FeatureStoreError, ValueError):
    """Two requested features share one output name."""

    exit_code = ExitCode.USAGE


class OnlineStoreUnavailable(FeatureStoreError):
    """Redis is down, refuses the command, or lost the connection."""


class DeadlineExceeded(FeatureStoreError, TimeoutError):
    """The caller's deadline passed before the answer was complete."""


class QueueFull(FeatureStoreError):
    """The durable queue's backlog is at its bound; nothing was enqueued."""

    exit_code = ExitCode.RETRY_LATER


class StalePrediction(FeatureStoreError):
    """A prediction is stale or missing and its view says ``on_stale="error"``."""


class InferenceFailed(FeatureStoreError):
    """The model raised, or answered with the wrong shape or type."""


class InferenceOverdue(InferenceFailed, DeadlineExceeded):
    """The model did not answer before the caller's deadline; that is no failure of the model."""


class OnDemandFailed(FeatureStoreError):
    """An on-demand function cannot be found, raised, or answered with wrong names, lengths or types."""


class IntervalBusy(FeatureStoreError):
    """Another run holds the interval's lease, or won the same generation."""

    exit_code = ExitCode.RETRY_LATER


class InputNotReady(FeatureStoreError):
    """An input view does not cover the interval yet, or a source is not ready at its end."""

    exit_code = ExitCode.RETRY_LATER


class GateRefused(FeatureStoreError):
    """A critical expectation failed: the interval is not committed and not published.

    ``failures`` has one mapping per rule: expectation, column, observed, sample; ``report`` is the HTML report's path.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, *, failures: Sequence[Mapping[str, object]] = (), report: str = "") -> None:
        super().__init__(message, failures=[dict(failure) for failure in failures], report=report)
        self.failures = tuple(failures)
        self.report = report


class ReconciliationFailed(FeatureStoreError):
    """After a publication Redis does not hold what Delta says; names the keys."""


class TransformationFailed(FeatureStoreError):
    """A view's SQL or PySpark function failed, or gave no DataFrame; the cause is the original error."""


class RunFailed(FeatureStoreError):
    """One or more runs of a job failed; the result line has each of them."""


class PermissionDenied(FeatureStoreError, PermissionError):
    """The caller's roles do not allow the action on the resource."""
