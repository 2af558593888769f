"""One module for each group of rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.arena import Arena
from benchmarks.figures import Figure
from benchmarks.rows import (
    backfill,
    callers,
    clients,
    cold_start,
    lookups,
    memory,
    predictions,
    publication,
    repairs,
    rolls,
    scoring,
    traffic,
)

__all__ = ["ROWS"]

ROWS: dict[str, Callable[[Arena], Iterator[Figure]]] = {
    "lookups": lookups.measure,
    "predictions": predictions.measure,
    "callers": callers.measure,
    "publication": publication.measure,
    "memory": memory.measure,
    "cold_start": cold_start.measure,
    "repairs": repairs.measure,
    "traffic": traffic.measure,
    "scoring": scoring.measure,
    "backfill": backfill.measure,
    "rolls": rolls.measure,
    "clients": clients.measure,
}
