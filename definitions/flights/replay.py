"""The calendar of the replay: the real flights of 2013, moved in time so that their last day is yesterday."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

__all__ = ["DATA_FOLDER", "INTERVALS", "LAST_REAL_DAY", "Replay", "first_step", "open_replay"]

LAST_REAL_DAY = date(2013, 12, 31)
DATA_FOLDER = "data/flights"
INTERVALS = 3
"""Daily steps between the start of the views and the day of the first landing."""
_FILE = Path(__file__).resolve().parents[2] / DATA_FOLDER / "replay.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """``last_day`` is the UTC day that 31 December 2013 is moved to; the views have ``steps`` daily steps up to it."""

    last_day: date
    steps: int = INTERVALS

    @property
    def shift(self) -> timedelta:
        return self.last_day - LAST_REAL_DAY

    @property
    def end(self) -> datetime:
        """The end of the last day that arrives."""
        return datetime.combine(self.last_day + timedelta(days=1), time(), UTC)

    @property
    def first_step(self) -> datetime:
        """The start of the first daily step that the views compute."""
        return datetime.combine(self.last_day - timedelta(days=self.steps - 1), time(), UTC)


def open_replay(folder: Path, now: datetime, steps: int = INTERVALS) -> Replay:
    """Read the replay's calendar, or fix it for good when the feed lands for the first time."""
    path = folder / _FILE.name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fixed = {"last_day": (now - timedelta(days=1)).date().isoformat(), "steps": steps}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(fixed) + "\n", encoding="utf-8")
        partial.replace(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Replay(last_day=date.fromisoformat(stored["last_day"]), steps=stored["steps"])


def first_step() -> datetime:
    """Give the views' start: by the landed replay, or the real dates when nothing has landed."""
    if _FILE.exists():
        return open_replay(_FILE.parent, datetime.now(UTC)).first_step
    return Replay(last_day=LAST_REAL_DAY).first_step
