"""Make click events: seeded, Zipf-distributed over users, one Parquet file a day, at any size.

``python -m definitions.web.events --users 100000 --events-per-day 500000 --days 3 data/web/clicks``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ClickStream", "write_days"]

_PAGES = np.array(["home", "search", "product", "cart", "help"])
_BATCH_ROWS = 1_000_000
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickStream:
    """Events of ``users`` users: the same arguments give the same events, whatever else is generated."""

    users: int
    events_per_day: int
    seed: int = 7
    skew: float = 1.1

    def day(self, day: date) -> Iterator[pa.Table]:
        """Give a day's events in batches; memory does not grow with the day's size."""
        random = np.random.default_rng([self.seed, day.toordinal()])
        start_us = int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000
        for left in range(self.events_per_day, 0, -_BATCH_ROWS):
            yield self._batch(random, min(left, _BATCH_ROWS), start_us)

    def _batch(self, random: np.random.Generator, rows: int, start_us: int) -> pa.Table:
        users = random.zipf(self.skew, rows) % self.users + 1
        times = np.sort(random.integers(0, _DAY_US, rows)) + start_us
        seconds = np.round(random.exponential(30.0, rows), 3)
        return pa.table(
            {
                "user_id": pa.array(users, pa.int64()),
                "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
                "page": pa.array(_PAGES[random.integers(0, len(_PAGES), rows)]),
                "clicked": pa.array((random.random(rows) < 0.2 + 0.3 * (users % 5 == 0)).astype(np.int64)),
                "page_seconds": pa.array(seconds, mask=random.random(rows) < 0.02),
            }
        )


def write_days(stream: ClickStream, folder: Path, first: date, days: int) -> int:
    """Write one file a day into ``folder``, replacing days that are there; give the number of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0
    for day in (first + timedelta(days=number) for number in range(days)):
        partial = folder / f".{day}.parquet"
        batches = stream.day(day)
        head = next(batches)
        with pq.ParquetWriter(partial, head.schema) as writer:
            for batch in (head, *batches):
                writer.write_table(batch)
                rows += len(batch)
        partial.replace(folder / f"{day}.parquet")
    return rows


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(prog="python -m definitions.web.events", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events-per-day", type=int, default=50_000)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2026, 1, 1))
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(argv)
    stream = ClickStream(users=options.users, events_per_day=options.events_per_day, seed=options.seed)
    rows = write_days(stream, options.folder, options.first, options.days)
    say(f"{rows:,} events of {options.days} days in {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
