"""Runs that failed or were refused, and that nothing has mended since."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.intervals import Coverage
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.stores.base import RunRecord, RunState

__all__ = ["standing_failures"]


def standing_failures(context: RuntimeContext, view: StoredViewNode) -> tuple[RunRecord, ...]:
    """Give the failed and refused runs that stand.

    A run is mended by later ones that are done and cover its interval, whatever their bounds. One that computed covered
    steps again is mended too when the view has been brought up to its inputs since: what it refused was taken back.
    """
    runs = context.ledger.runs(view.name, view.version)
    latest = {run.interval: run for run in runs}  # in order of generation
    failed = [run for run in latest.values() if run.state in (RunState.REFUSED, RunState.FAILED)]
    if not failed:
        return ()
    checked_at = context.input_checks.last(view.name, view.version).checked_at
    return tuple(
        run
        for run in failed
        if not _later(run, runs).covers(run.interval)
        and not (run.generation > 1 and checked_at is not None and checked_at > run.updated_at)
    )


def _later(failed: RunRecord, runs: Sequence[RunRecord]) -> Coverage:
    """Give what was done after a failure; at one instant of the clock the generation tells which came later."""
    since = failed.updated_at, failed.generation
    done = [run for run in runs if run.state is RunState.DONE and (run.updated_at, run.generation) >= since]
    return Coverage.of(run.interval for run in done)
