"""Replaced rows of a view's table, as its log tells of them: no Spark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deltalake import DeltaTable

from featurestore.intervals import Interval, parse_instant, show_instant
from featurestore.stores.commit_json import commit_from_json

__all__ = ["Restatements", "drops_superseded", "restatements", "superseded_to_json"]

_UNTIL = "superseded_until"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatements:
    """Commits that may have replaced rows up to an instant, and were not looked at yet: at most ``rows`` rows.

    ``times`` bounds their event times, both ends inclusive; None where that is not known. ``newest`` is the Delta
    version of the last commit of that kind, however young it is; ``delta_version`` the table's.
    """

    delta_version: int
    commits: int = 0
    rows: int = 0
    times: Interval | None = None
    newest: int = -1


def restatements(path: str, until: datetime, *, every_commit: bool) -> Restatements:
    """Find the commits up to ``until`` that stated rows again: of steps computed anew, and of rows that no run made.

    With ``every_commit`` each commit may have: its rows are statements that were made at several times.
    """
    table = DeltaTable(path)
    history = table.history()
    looked_at = max((seen for entry in history if (seen := _looked_at(entry)) is not None), default=None)
    commits, rows, newest = 0, 0, -1
    times: list[Interval | None] = []
    for version, at, count, interval in _restating(history, every_commit=every_commit):
        newest = max(newest, version)
        if at <= until and (looked_at is None or at > looked_at):
            commits, rows = commits + 1, rows + count
            times.append(interval)
    known = [interval for interval in times if interval is not None]
    return Restatements(
        delta_version=table.version(),
        commits=commits,
        rows=rows,
        times=Interval(min(i.start for i in known), max(i.end for i in known))
        if len(known) == len(times) > 0
        else None,
        newest=newest,
    )


def superseded_to_json(until: datetime) -> str:
    """Write what a commit says of itself that drops the rows replaced up to an instant."""
    return json.dumps({_UNTIL: show_instant(until)}, separators=(",", ":"))


def drops_superseded(actions: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether a commit, by its actions in the log, drops replaced rows: what stands is the same after it."""
    infos = (action["commitInfo"] for action in actions if "commitInfo" in action)
    return any(_looked_at(info) is not None for info in infos)


def _looked_at(entry: Mapping[str, Any]) -> datetime | None:
    try:
        document = json.loads(entry.get("userMetadata") or "null")
    except ValueError:
        return None
    return parse_instant(document[_UNTIL]) if isinstance(document, dict) and _UNTIL in document else None


def _restating(
    history: Iterable[Mapping[str, Any]], *, every_commit: bool
) -> Iterator[tuple[int, datetime, int, Interval | None]]:
    """Give version, time, number of rows and interval; the time is no earlier than that of any replacing row.

    It is the commit's, or the one that a repair gave its rows where the two clocks differ.
    """
    for entry in history:
        count = int(entry.get("operationMetrics", {}).get("numOutputRows", 0))
        if entry.get("operation") != "WRITE" or not count:
            continue
        record = commit_from_json(entry.get("userMetadata"), delta_version=entry["version"])
        at = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
        if record is None:
            yield entry["version"], at, count, None
        elif record.generation > 1 or every_commit:
            yield entry["version"], max(at, record.created), count, record.interval
