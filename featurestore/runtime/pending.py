"""What changed in a view's inputs and is not in its rows yet, for ``status`` and ``plan``: nothing is scanned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.engines.spark.pins import pin_source
from featurestore.errors import DefinitionError, InputNotReady
from featurestore.intervals import Coverage, Interval, show_duration, show_instant
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.plan.late_data import Reach, affected, horizon_of, oldest_read
from featurestore.plan.pending import PendingChange, pinned_parts, show_pending, unresolved
from featurestore.plan.readiness import raw_sources
from featurestore.runtime.changes import InputChange, changed_inputs
from featurestore.runtime.compute import pinned_parents
from featurestore.runtime.context import RuntimeContext
from featurestore.stores.base import RunState

__all__ = ["LateChange", "late_changes", "late_warnings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateChange:
    """A changed input, ``text`` as a line. ``is_older``: no run repairs all of it by itself; ``command`` does.

    ``is_checked`` says that a run has looked at the changed rows; without, ``rows`` and ``times`` are what statistics
    say at most, and rows that no step has read are among them.
    """

    input: str
    times: Interval | None
    rows: int | None
    steps: int | None
    is_older: bool
    is_checked: bool
    command: str | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        times = self.times
        return {
            "input": self.input,
            "from": None if times is None else show_instant(times.start),
            "until": None if times is None else show_instant(times.end),
            "rows": self.rows,
            "steps": self.steps,
            "older": self.is_older,
            "checked": self.is_checked,
            "repair": self.command,
            "message": self.text,
        }


def late_changes(context: RuntimeContext, view: StoredViewNode) -> tuple[LateChange, ...]:
    """List changes that a run found and left, then what changed since the last run; starts no Spark."""
    if not isinstance(view, ViewNode) or context.manifest.is_push_fed(view):
        return ()
    runs = [run for run in context.ledger.runs(view.name, view.version) if run.state is RunState.DONE]
    coverage = Coverage.of(run.interval for run in runs)
    if not coverage:
        return ()
    last = context.input_checks.last(view.name, view.version)
    found = [_left(view, change) for change in unresolved(last.pending, runs)]
    present = _present(context, view)
    seen: set[tuple[str, str]] = set()
    for part in pinned_parts(runs, last.checked, last.inputs, last.delta_version):
        for change in changed_inputs(context, view, part.inputs, present):
            told = _told(view, change, part.coverage, coverage)
            if told is not None and (told.input, told.text) not in seen:
                seen.add((told.input, told.text))
                found.append(told)
    return tuple(found)


def late_warnings(context: RuntimeContext, manifest: Manifest) -> Iterator[str]:
    """Name the older changes of the views that ``manifest`` leaves as they are."""
    for view in context.manifest.stored_views():
        same = manifest.views.get(view.name)
        if same is not None and same.fingerprint == view.fingerprint:
            yield from (f"{view.name}: {change.text}" for change in late_changes(context, view) if change.is_older)


def _command(view: ViewNode) -> str:
    return f"featurestore repair {view.name}"


def _left(view: ViewNode, change: PendingChange) -> LateChange:
    return LateChange(
        input=change.touched.input,
        times=change.touched.times,
        rows=change.touched.rows,
        steps=change.steps,
        is_older=True,
        is_checked=True,
        command=_command(view),
        text=show_pending(view, change, _command(view)),
    )


def _present(context: RuntimeContext, view: ViewNode) -> Mapping[str, Any]:
    """Pin the inputs that can be pinned without Spark; of the others nothing is said."""
    sources: dict[str, Any] = {}
    for source in raw_sources(context.manifest, view):
        try:
            sources[source.name] = dict(pin_source(None, source, resolve=context.settings.absolute).state)
        except (InputNotReady, DefinitionError):
            continue
    return {"sources": sources, "views": pinned_parents(context, view)}


def _told(view: ViewNode, change: InputChange, part: Coverage, coverage: Coverage) -> LateChange | None:
    """Say what a change may affect; None where statistics say that no covered step reads it."""
    end = coverage.stretches[-1].end
    horizon = horizon_of(view, coverage)
    times, reason = change.files.times, change.files.unknown
    if change.reach is Reach.EVERYTHING:
        times = None
    elif times is None:
        times = Interval(oldest_read(view, coverage), end)
    elif times.is_empty or times.start > end:
        return None
    span = affected(view, change.reach, times)
    if not any(stretch.intersect(span) for stretch in part):
        return None
    is_older = horizon > coverage.stretches[0].start if times is None else times.start < horizon
    rows = None if change.files.unknown else change.files.rows
    count = "" if rows is None else f"at most {rows:,} rows of "
    when = "" if times is None or reason else f" from {show_instant(times.start)} to {show_instant(times.end)}"
    why = f" ({reason})" if reason else ""
    rest = f", and `{_command(view)}` what is older" if is_older else ""
    return LateChange(
        input=change.name,
        times=times,
        rows=rows,
        steps=None,
        is_older=is_older,
        is_checked=False,
        command=_command(view) if is_older else None,
        text=f"{count}{change.name}{when} changed since the last run{why}: the next run repairs what is within "
        f"late_data ({show_duration(view.late_data)}){rest}",
    )
