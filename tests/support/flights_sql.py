"""The statistics of the flights example in DuckDB's SQL, written from the definitions of the windows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

__all__ = ["STATISTICS", "Statistics", "compare", "load_flights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One view's features: ``longest`` is its longest window (None: lifetime), an aggregate's window its FILTER.

    ``floats`` may differ in the last bits, everything else is exact; ``counts`` are 0 where nothing happened. The
    events are the flights, or what ``events`` joins them to.
    """

    key: str
    longest: str | None
    features: dict[str, str]
    floats: tuple[str, ...]
    counts: tuple[str, ...]
    events: str = "flights"


def _within(window: str) -> str:
    return f"FILTER (WHERE t >= e - INTERVAL {window})"


def _spread(column: str, window: str) -> str:
    """The population's deviation in whole numbers up to the last division."""
    n, total = f"count({column}) {_within(window)}", f"sum({column}::BIGINT) {_within(window)}"
    squares = f"sum({column}::BIGINT * {column}::BIGINT) {_within(window)}"
    return f"sqrt(({n} * {squares} - {total} * {total})::DOUBLE) / {n}"


STATISTICS = {
    "carrier_delays": Statistics(
        key="carrier",
        longest="30 DAY",
        features={
            "mean_arrival_delay_1d": f"avg(arr_delay) {_within('1 DAY')}",
            "mean_arrival_delay_7d": f"avg(arr_delay) {_within('7 DAY')}",
            "late_share_7d": f"avg(late) {_within('7 DAY')}",
            "late_share_30d": f"avg(late) {_within('30 DAY')}",
            "flights_1d": f"count(*) {_within('1 DAY')}",
            "cancellations_7d": f"sum(cancelled) {_within('7 DAY')}",
        },
        floats=("mean_arrival_delay_1d", "mean_arrival_delay_7d", "late_share_7d", "late_share_30d"),
        counts=("flights_1d",),
    ),
    "airport_delays": Statistics(
        key="origin",
        longest="7 DAY",
        features={
            "mean_departure_delay_1h": f"avg(dep_delay) {_within('1 HOUR')}",
            "mean_departure_delay_1d": f"avg(dep_delay) {_within('1 DAY')}",
            "longest_departure_delay_1d": f"max(dep_delay) {_within('1 DAY')}",
            "departure_delay_spread_7d": _spread("dep_delay", "7 DAY"),
            "flights_1h": f"count(*) {_within('1 HOUR')}",
            "cancellations_1d": "count(*) FILTER (WHERE cancelled = 1 AND t >= e - INTERVAL 1 DAY)",
        },
        floats=("mean_departure_delay_1h", "mean_departure_delay_1d", "departure_delay_spread_7d"),
        counts=("flights_1h", "cancellations_1d"),
    ),
    "aircraft_delays": Statistics(
        key="tailnum",
        longest="30 DAY",
        features={
            "last_departure": f"arg_max(scheduled_departure, (t, scheduled_departure)) {_within('30 DAY')}",
            "mean_arrival_delay_7d": f"avg(arr_delay) {_within('7 DAY')}",
            "miles_7d": f"sum(distance) {_within('7 DAY')}",
            "departures_1d": f"count(*) {_within('1 DAY')}",
            "departures_30d": f"count(*) {_within('30 DAY')}",
        },
        floats=("mean_arrival_delay_7d", "miles_7d"),
        counts=("departures_1d", "departures_30d"),
    ),
    "carrier_history": Statistics(
        key="carrier",
        longest=None,
        features={
            "flights": "count(*)",
            "flights_365d": f"count(*) {_within('365 DAY')}",
            "mean_arrival_delay": "avg(arr_delay)",
            "miles_365d": f"sum(distance) {_within('365 DAY')}",
            "longest_delay_365d": f"max(arr_delay) {_within('365 DAY')}",
        },
        floats=("mean_arrival_delay", "miles_365d"),
        counts=("flights", "flights_365d"),
    ),
    "maker_delays": Statistics(
        key="manufacturer",
        longest="30 DAY",
        features={
            "mean_arrival_delay_7d": f"avg(arr_delay) {_within('7 DAY')}",
            "seats_1d": f"sum(seats) {_within('1 DAY')}",
            "flights_30d": f"count(*) {_within('30 DAY')}",
        },
        floats=("mean_arrival_delay_7d",),
        counts=("flights_30d",),
        events="(SELECT manufacturer, t, arr_delay, seats FROM flights JOIN planes USING (tailnum))",
    ),
    "windy_delays": Statistics(
        key="carrier",
        longest="7 DAY",
        features={
            "late_in_wind_7d": "avg(late) FILTER (WHERE wind_speed > 20 AND t >= e - INTERVAL 7 DAY)",
            "flights_in_wind_7d": "count(*) FILTER (WHERE wind_speed > 20 AND t >= e - INTERVAL 7 DAY)",
            "strongest_wind_1d": f"max(wind_speed) {_within('1 DAY')}",
        },
        floats=("late_in_wind_7d",),
        counts=("flights_in_wind_7d",),
        events="""(
            SELECT f.carrier, f.t, f.late, w.wind_speed
            FROM flights f JOIN weather w ON w.origin = f.origin AND w.t = date_trunc('hour', f.t) - INTERVAL 1 HOUR
        )""",
    ),
}


def load_flights(tables: Mapping[str, pa.Table], first: datetime, last: datetime) -> duckdb.DuckDBPyConnection:
    """Hold the landed tables, with event times called ``t``, and the daily step ends from ``first`` to ``last``.

    Times are UTC without a zone.
    """
    database = duckdb.connect()
    for name, table in tables.items():
        database.register("landed", _without_zones(table))
        renamed = "* RENAME (event_timestamp AS t)" if "event_timestamp" in table.column_names else "*"
        database.execute(f"CREATE TABLE {name} AS SELECT {renamed} FROM landed")
    database.execute(
        "CREATE TABLE steps AS SELECT unnest(generate_series($1::TIMESTAMP, $2::TIMESTAMP, INTERVAL 1 DAY)) AS e",
        [first.replace(tzinfo=None), last.replace(tzinfo=None)],
    )
    return database


def compare(
    database: duckdb.DuckDBPyConnection, asked: Statistics, rows: pa.Table, ttl: timedelta
) -> tuple[int, int, Sequence[tuple[object, ...]]]:
    """Compare a view's rows, read as of each step end, for every key that has flights.

    Gives how many (key, step end) were compared, how many rows there should be, and the first that differ.
    """
    _expect(database, asked, ttl)
    database.register("appended", _without_zones(rows))
    columns = ", ".join(f"r.{name} AS found_{name}" for name in asked.features)
    is_value = _any_value(asked, "r.")
    wrong = " OR ".join(_differs(asked, name) for name in asked.features)
    database.execute(f"""
        CREATE OR REPLACE TABLE compared AS
        SELECT x.*, {columns}, r.k IS NOT NULL AND ({is_value} OR x.e - r.at <= {_interval(ttl)}) AS is_found
        FROM expected x ASOF LEFT JOIN
            (SELECT {asked.key} AS k, event_timestamp AS at, * FROM appended) r ON x.k = r.k AND x.e >= r.at
    """)
    differ = database.execute(f"""
        SELECT * FROM compared WHERE is_found IS DISTINCT FROM is_answered OR (is_answered AND ({wrong})) LIMIT 3
    """).fetchall()
    [(asked_for, stated)] = database.execute("SELECT count(*), count_if(is_stated) FROM expected").fetchall()
    return asked_for, stated, differ


def _expect(database: duckdb.DuckDBPyConnection, asked: Statistics, ttl: timedelta) -> None:
    """Say for each key and step end what the windows hold, whether a row is written and what a read answers.

    A row is written where the values differ from those of the step before, where a key comes into its windows, and at
    the first step. One whose values are those of no flights is answered with for ``ttl`` after it, any other until the
    next.
    """
    windows = ", ".join(f"{sql} AS {name}" for name, sql in asked.features.items())
    zeros = ", ".join(f"coalesce({name}, 0) AS {name}" for name in asked.counts)
    before = ", ".join(f"lag({name}) OVER key AS before_{name}" for name in asked.features)
    changed = " OR ".join(f"{name} IS DISTINCT FROM before_{name}" for name in asked.features)
    reaches = "" if asked.longest is None else f"AND t >= e - INTERVAL {asked.longest}"
    database.execute(f"""
        CREATE OR REPLACE TABLE expected AS
        WITH events AS (FROM {asked.events} WHERE {asked.key} IS NOT NULL),
        keys AS (SELECT DISTINCT {asked.key} AS k FROM events),
        windows AS (
            SELECT {asked.key} AS k, e, {windows}
            FROM events JOIN steps ON t < e {reaches}
            GROUP BY ALL
        ),
        grid AS (
            SELECT k, e, windows.* EXCLUDE (k, e) REPLACE ({zeros}), windows.k IS NOT NULL AS is_present
            FROM keys CROSS JOIN steps LEFT JOIN windows USING (k, e)
        ),
        held AS (
            SELECT *, {before}, {_any_value(asked)} AS is_value,
                coalesce(lag(is_present) OVER key, false) AS was_present
            FROM grid WINDOW key AS (PARTITION BY k ORDER BY e)
        ),
        stated AS (
            SELECT *, (is_present AND NOT was_present) OR (was_present AND ({changed})) AS is_stated FROM held
        )
        SELECT *, is_value OR coalesce(
            e - max(e) FILTER (WHERE is_stated) OVER upto <= {_interval(ttl)}, false
        ) AS is_answered
        FROM stated WINDOW upto AS (PARTITION BY k ORDER BY e)
    """)


def _any_value(asked: Statistics, prefix: str = "") -> str:
    return " OR ".join(
        f"coalesce({prefix}{name}, 0) <> 0" if name in asked.counts else f"{prefix}{name} IS NOT NULL"
        for name in asked.features
    )


def _differs(asked: Statistics, name: str) -> str:
    if name not in asked.floats:
        return f"found_{name} IS DISTINCT FROM {name}"
    is_far = f"coalesce(abs(found_{name} - {name}) > 1e-12 * abs({name}), false)"
    return f"(found_{name} IS NULL) <> ({name} IS NULL) OR {is_far}"


def _interval(length: timedelta) -> str:
    return f"INTERVAL {length // timedelta(microseconds=1)} MICROSECOND"


def _without_zones(table: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
