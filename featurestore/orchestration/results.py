"""The result line of a job, and what it means for a task: success, another try, or the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from featurestore.errors import ExitCode
from featurestore.runtime.results import RESULT_PREFIX

__all__ = [
    "RESULT_PREFIX",
    "JobResult",
    "Verdict",
    "VerdictKind",
    "adopt",
    "judge_submit",
    "judge_view",
    "parse_result",
]

JobResult: TypeAlias = Mapping[str, Any]
"""The JSON of the result line: ``outcome``, ``exit_code``, ``views`` by name, ``seconds``."""

_ADOPTABLE = frozenset({"done", "nothing_to_do", "refused", "usage", "failed"})
_KEPT_ROWS = 5
"""Sample rows that an error message repeats; the report has the others."""


class VerdictKind(StrEnum):
    SUCCESS = "success"
    RETRY = "retry"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a task ends, and the message for its log."""

    kind: VerdictKind
    message: str


def parse_result(line: str) -> JobResult | None:
    """Read a result line; None for any other line."""
    if not line.startswith(RESULT_PREFIX):
        return None
    try:
        result = json.loads(line.removeprefix(RESULT_PREFIX))
    except json.JSONDecodeError:
        return None
    return result if isinstance(result, dict) and isinstance(result.get("views"), dict) else None


def adopt(carried: JobResult | None, view: str, *, adopted: object) -> Mapping[str, Any] | None:
    """Find the view's own result in what a carrying submit left; None tells the task to submit for itself.

    ``carried["attempt"]`` is the try of the submit, ``adopted`` the one this task took a result from before: a
    result counts once, so a task that is tried again after a failure does the work itself, while a whole run that is
    cleared is carried again. "Retry later" is never taken: what it waited for may be there now.
    """
    if carried is None or carried.get("attempt") == adopted:
        return None
    entry = carried["views"].get(view)
    if not isinstance(entry, dict) or entry.get("outcome") not in _ADOPTABLE:
        return None
    return entry


def judge_view(view: str, entry: Mapping[str, Any]) -> Verdict:
    """Judge a view's own result."""
    match entry.get("outcome"):
        case "done":
            return Verdict(kind=VerdictKind.SUCCESS, message=f"{view}: done, {entry.get('rows', 0)} rows")
        case "nothing_to_do":
            return Verdict(kind=VerdictKind.SUCCESS, message=f"{view}: nothing to do")
        case "refused" | "usage" as outcome:
            return Verdict(kind=VerdictKind.FAIL, message=f"{view}: {outcome}: {_show_error(entry)}")
        case outcome:
            return Verdict(kind=VerdictKind.RETRY, message=f"{view}: {outcome}: {_show_error(entry)}")


def judge_submit(views: Iterable[str], exit_code: int, result: JobResult | None) -> Verdict:
    """Judge a job process by its exit code and its result line.

    A submit for one view ends as that view does. One that carries several succeeds as soon as one view got its answer,
    for each view's own task tells the view's story; it is tried again as a whole only where no view did, and not at
    all without a result line: then something in it kills the process, and each view's own submit finds out what.
    """
    names = tuple(views)
    if result is None:
        kind = VerdictKind.FAIL if len(names) > 1 or exit_code == ExitCode.USAGE else VerdictKind.RETRY
        return Verdict(kind=kind, message=f"the job for {', '.join(names)} {_show_exit(exit_code)} without a result")
    verdicts = [judge_view(name, result["views"].get(name) or {"outcome": result.get("outcome")}) for name in names]
    if len(verdicts) == 1 or not result["views"]:
        return verdicts[0]
    message = "; ".join(verdict.message for verdict in verdicts)
    if all(verdict.kind is VerdictKind.RETRY for verdict in verdicts):
        return Verdict(kind=VerdictKind.RETRY, message=message)
    return Verdict(kind=VerdictKind.SUCCESS, message=message)


def _show_exit(exit_code: int) -> str:
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    names = {code.value: code.name for code in ExitCode}
    return f"ended with exit code {exit_code} ({names.get(exit_code, 'not one of ours')})"


def _show_error(entry: Mapping[str, Any]) -> str:
    """Write type, message, rule, sample and report of an entry's error, each on its own line where there is one."""
    error = entry.get("error")
    if not isinstance(error, dict):
        return "no error was given"
    lines = [f"{error.get('type', 'error')}: {error.get('message', '')}"]
    if rule := error.get("rule"):
        lines.append(f"  rule: {rule if isinstance(rule, str) else json.dumps(rule, sort_keys=True)}")
    if sample := error.get("sample"):
        rows = sample[:_KEPT_ROWS] if isinstance(sample, list) else [sample]
        lines += [f"  sample: {json.dumps(row, sort_keys=True, default=str)}" for row in rows]
    if report := error.get("report"):
        lines.append(f"  report: {report}")
    return "\n".join(lines)
