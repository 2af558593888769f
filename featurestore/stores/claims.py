"""Who may compute an interval: the rule as a pure function of what the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from featurestore.errors import IntervalBusy, StateError
from featurestore.intervals import Coverage, Interval, show_instant
from featurestore.stores.base import RunRecord, RunState

__all__ = ["Grant", "canonical_json", "decide"]

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a claim may start: ``attempts`` is above 1 when it goes on with a generation that an attempt left."""

    generation: int
    created: datetime
    attempts: int
    is_repair: bool


def canonical_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def decide(
    view: str,
    version: int,
    interval: Interval,
    overlapping: Sequence[RunRecord],
    *,
    inputs: Mapping[str, Any],
    created: datetime,
    owner: str,
    now: datetime,
    repair: bool,
) -> Grant:
    """Grant the interval, or raise IntervalBusy (another works on a part of it) or StateError (done already).

    ``overlapping`` holds all runs of the view version that share an instant with the interval. An interval is done
    when done runs cover it, whatever their bounds; one that is done in part is refused, because no single
    created_timestamp is right for both parts.
    """
    what = f"{view} v{version} {interval}"
    _refuse_busy(what, overlapping, owner=owner, now=now)
    done = [run for run in overlapping if run.state is RunState.DONE]
    coverage = Coverage.of(run.interval for run in done)
    is_done = bool(done) and coverage.covers(interval)
    if done and not is_done:
        missing = ", ".join(str(part) for part in coverage.missing(interval))
        raise StateError(
            f"{what} is done in part; claim what is missing ({missing}), and repair the rest",
            view=view,
        )
    if is_done and not repair:
        raise StateError(f"{what} is done; claim it with repair to compute it again", view=view)

    last = max(
        (run for run in overlapping if run.interval == interval),
        key=lambda run: run.generation,
        default=None,
    )
    if last is not None and last.state is not RunState.DONE and _is_same(last.inputs, inputs):
        return Grant(
            generation=last.generation,
            created=last.created,
            attempts=last.attempts + 1,
            is_repair=is_done,
        )
    # A refused attempt committed nothing; any other may have, before it was lost: its statements must not be outranked
    # by equals, so a new generation speaks at least a microsecond later. A repair states all its rows at one instant;
    # the first run of an interval states each step as long after the step's end as ``created`` is after its own.
    stated = [run for run in overlapping if run.state is not RunState.REFUSED]
    if is_done:
        spoken = max([now, *(run.created + _TICK for run in stated)])
    else:
        lags = [created - interval.end, *(run.created - run.interval.end + _TICK for run in stated)]
        spoken = interval.end + max(lags)
    # One above all that is done: a generation above 1 tells that rows were stated before, whatever the bounds.
    above = [run.generation for run in (*done, *([last] if last else []))]
    return Grant(generation=max(above, default=0) + 1, created=spoken, attempts=1, is_repair=is_done)


def _refuse_busy(what: str, overlapping: Sequence[RunRecord], *, owner: str, now: datetime) -> None:
    for run in overlapping:
        if run.state is RunState.CLAIMED and run.owner != owner and run.lease_until > now:
            raise IntervalBusy(
                f"{what} is being computed as {run.interval} by {run.owner} (run {run.run_id}), whose lease lasts until"
                f" {show_instant(run.lease_until)}; try again after that",
                view=run.view,
                version=run.version,
                owner=run.owner,
                run_id=run.run_id,
                lease_until=show_instant(run.lease_until),
            )


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return canonical_json(one) == canonical_json(other)
