"""What a view's table was computed from, and the changes since that no run has repaired yet: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from featurestore.intervals import Coverage, Interval, parse_instant, show_duration, show_instant
from featurestore.ir.nodes import ViewNode
from featurestore.plan.late_data import Touched

__all__ = [
    "TOUCHED_KEYS",
    "DoneRun",
    "PendingChange",
    "PinnedPart",
    "keep_pending",
    "pinned_parts",
    "show_pending",
    "unresolved",
]

_MICROSECOND = timedelta(microseconds=1)
TOUCHED_KEYS = {"keys": "touched"}
"""Entry of a run's inputs: the run computed the keys of changed rows alone, so its pins don't speak for the others."""


class DoneRun(Protocol):
    """A run that is done, as the ledger has it."""

    @property
    def interval(self) -> Interval: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def delta_version(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedPart:
    """A part of the coverage, and the state of the inputs that its rows were computed from or compared with."""

    coverage: Coverage
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A change of one input older than ``late_data``, found when the view's table was at ``delta_version``.

    ``since`` is the input's state that the ``affected`` steps were computed from.
    """

    touched: Touched
    since: Mapping[str, Any]
    affected: Interval
    steps: int
    delta_version: int

    def to_dict(self) -> dict[str, Any]:
        times = self.touched.times
        return {
            "input": self.touched.input,
            "times": None if times is None else [show_instant(times.start), show_instant(times.end)],
            "rows": self.touched.rows,
            "keys_known": self.touched.keys_known,
            "reason": self.touched.reason,
            "since": dict(self.since),
            "affected": [show_instant(self.affected.start), show_instant(self.affected.end)],
            "steps": self.steps,
            "delta_version": self.delta_version,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> PendingChange:
        times = found["times"]
        return cls(
            touched=Touched(
                input=found["input"],
                times=None if times is None else _interval(times),
                rows=found["rows"],
                keys_known=found["keys_known"],
                reason=found["reason"],
            ),
            since=found["since"],
            affected=_interval(found["affected"]),
            steps=found["steps"],
            delta_version=found["delta_version"],
        )


def pinned_parts(
    runs: Iterable[DoneRun], checked: Coverage, inputs: Mapping[str, Any], delta_version: int
) -> tuple[PinnedPart, ...]:
    """Give what each part of the coverage was computed from.

    ``checked`` was compared with ``inputs`` when the table was at ``delta_version``: that speaks for it unless a later
    run computed it again. Of several runs the one that was committed last counts.
    """
    whole = [run for run in runs if not run.inputs.items() >= TOUCHED_KEYS.items()]
    ordered = sorted(whole, key=_version, reverse=True)
    said: list[tuple[Interval, Mapping[str, Any]]] = []
    said += [(run.interval, run.inputs) for run in ordered if _version(run) > delta_version]
    said += [(part, inputs) for part in checked]
    said += [(run.interval, run.inputs) for run in ordered if _version(run) <= delta_version]
    seen = Coverage()
    parts: list[tuple[Mapping[str, Any], list[Interval]]] = []
    for interval, state in said:
        new = seen.missing(interval)
        if not new:
            continue
        seen = Coverage.of([*seen, interval])
        known = next((intervals for one, intervals in parts if one == state), None)
        if known is None:
            parts.append((state, list(new)))
        else:
            known += new
    return tuple(PinnedPart(coverage=Coverage.of(intervals), inputs=state) for state, intervals in parts)


def unresolved(pending: Iterable[PendingChange], runs: Sequence[DoneRun]) -> tuple[PendingChange, ...]:
    """Leave out the changes whose steps were all computed again, for all keys, since they were found."""
    left = []
    for change in pending:
        later = [run for run in runs if _version(run) > change.delta_version]
        whole = [run.interval for run in later if not run.inputs.items() >= TOUCHED_KEYS.items()]
        if not Coverage.of(whole).covers(change.affected):
            left.append(change)
    return tuple(left)


def keep_pending(known: Iterable[PendingChange], found: Sequence[PendingChange]) -> tuple[PendingChange, ...]:
    """Put new changes to the known ones; one for all keys takes in those that it covers."""
    whole = [change for change in found if not change.touched.keys_known]
    kept = [
        change
        for change in known
        if not any(
            one.touched.input == change.touched.input
            and Coverage.of([one.affected]).covers(change.affected)
            and _times_within(change.touched.times, one.touched.times)
            for one in whole
        )
    ]
    return (*kept, *found)


def show_pending(view: ViewNode, change: PendingChange, command: str) -> str:
    """Say in one line what changed, when, what it affects, and how it is repaired."""
    touched = change.touched
    rows = "rows" if touched.rows is None else f"{touched.rows:,} row{'' if touched.rows == 1 else 's'}"
    when = "" if touched.times is None else f" {_shown(touched.times)}"
    why = f" ({touched.reason})" if touched.reason else ""
    bound = f"older than late_data ({show_duration(view.late_data)})"
    return (
        f"{rows} of {touched.input}{when} changed after {change.steps:,} step{'' if change.steps == 1 else 's'} "
        f"had read them{why}, {bound}: run `{command}`"
    )


def _shown(times: Interval) -> str:
    """Show the first and the last event time."""
    first, last = show_instant(times.start), show_instant(times.end - _MICROSECOND)
    return f"at {first}" if first == last else f"from {first} to {last}"


def _times_within(inner: Interval | None, outer: Interval | None) -> bool:
    if inner is None or outer is None:
        return outer is None or inner == outer
    return outer.start <= inner.start and inner.end <= outer.end


def _version(run: DoneRun) -> int:
    return -1 if run.delta_version is None else run.delta_version


def _interval(pair: Sequence[str]) -> Interval:
    return Interval(parse_instant(pair[0]), parse_instant(pair[1]))
