"""Feature views: weather row by row, delay statistics by windows, and two transformations by step."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from definitions.flights.entities import aircraft, airport, carrier, route
from definitions.flights.replay import first_step
from definitions.flights.sources import flights, hourly_weather, planes
from featurestore import (
    Aggregation,
    BatchFeatureView,
    Expectation,
    Field,
    RequestSource,
    batch_feature_view,
    on_demand_feature_view,
)
from featurestore.types import Float64, Int32, Int64, String, Timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from pyspark.sql import DataFrame

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK, MONTH = timedelta(days=7), timedelta(days=30)

FLIGHT_RULES = (
    Expectation("expect_column_values_to_not_be_null", column="carrier", on="input"),
    Expectation("expect_column_values_to_not_be_null", column="origin", on="input"),
    Expectation("expect_column_values_to_be_between", column="distance", min_value=1, max_value=6000, on="input"),
    Expectation("expect_column_values_to_be_between", column="dep_delay", min_value=-120, max_value=2880, on="input"),
)
DAILY: dict[str, Any] = {
    "start": first_step(),
    "schedule": "@daily",
    "ttl": timedelta(days=7),
    "freshness": timedelta(hours=26),
    "late_data": timedelta(days=2),
    "owner": "flight-operations",
}

weather = BatchFeatureView(
    name="weather",
    entities=[airport],
    source=hourly_weather,
    schema=[Field(name=name, dtype=Float64) for name in ("temp", "humid", "wind_speed", "precip", "visib")],
    expectations=[
        Expectation("expect_column_values_to_be_between", column="humid", min_value=0, max_value=100),
        Expectation("expect_column_values_to_be_between", column="visib", min_value=0, max_value=10),
        # The real data has one reading of 1,048 miles an hour, in February.
        Expectation(
            "expect_column_values_to_be_between", column="wind_speed", min_value=0, max_value=200, severity="warning"
        ),
    ],
    description="Hourly weather at the airport of departure.",
    **{**DAILY, "ttl": timedelta(days=3)},
)

carrier_delays = BatchFeatureView(
    name="carrier_delays",
    entities=[carrier],
    source=flights,
    aggregations=[
        Aggregation(column="arr_delay", function="mean", window=DAY, name="mean_arrival_delay_1d"),
        Aggregation(column="arr_delay", function="mean", window=WEEK, name="mean_arrival_delay_7d"),
        Aggregation(column="late", function="mean", window=WEEK, name="late_share_7d"),
        Aggregation(column="late", function="mean", window=MONTH, name="late_share_30d"),
        Aggregation(function="count", window=DAY, name="flights_1d"),
        Aggregation(column="cancelled", function="sum", window=WEEK, name="cancellations_7d"),
    ],
    expectations=[
        *FLIGHT_RULES,
        Expectation("expect_column_values_to_be_between", column="late_share_30d", min_value=0, max_value=1),
    ],
    description="How late and how reliable a carrier has been.",
    **DAILY,
)

airport_delays = BatchFeatureView(
    name="airport_delays",
    entities=[airport],
    source=flights,
    aggregations=[
        Aggregation(column="dep_delay", function="mean", window=HOUR, name="mean_departure_delay_1h"),
        Aggregation(column="dep_delay", function="mean", window=DAY, name="mean_departure_delay_1d"),
        Aggregation(column="dep_delay", function="max", window=DAY, name="longest_departure_delay_1d"),
        Aggregation(column="dep_delay", function="stddev_pop", window=WEEK, name="departure_delay_spread_7d"),
        Aggregation(function="count", window=HOUR, name="flights_1h"),
        Aggregation(function="count", where="cancelled = 1", window=DAY, name="cancellations_1d"),
    ],
    expectations=[
        *FLIGHT_RULES,
        Expectation("expect_column_values_to_be_in_set", column="origin", value_set=["EWR", "JFK", "LGA"]),
    ],
    description="How congested an airport of departure is.",
    **DAILY,
)

aircraft_delays = BatchFeatureView(
    name="aircraft_delays",
    entities=[aircraft],
    source=flights,
    aggregations=[
        Aggregation(column="scheduled_departure", function="last", window=MONTH, name="last_departure"),
        Aggregation(column="arr_delay", function="mean", window=WEEK, name="mean_arrival_delay_7d"),
        Aggregation(column="distance", function="sum", window=WEEK, name="miles_7d"),
        Aggregation(function="count", window=DAY, name="departures_1d"),
        Aggregation(function="count", window=MONTH, name="departures_30d"),
    ],
    expectations=[
        Expectation("expect_column_values_to_be_between", column="distance", min_value=1, max_value=6000, on="input"),
        # Tail numbers of cancelled flights are often unknown: 0.7 % of the year's rows.
        Expectation("expect_column_values_to_not_be_null", column="tailnum", mostly=0.9, on="input"),
        Expectation("expect_column_values_to_be_between", column="departures_1d", min_value=0, max_value=24),
    ],
    description="What an aircraft has been doing.",
    **DAILY,
)

aircraft_profile = BatchFeatureView(
    name="aircraft_profile",
    entities=[aircraft],
    sources=[flights, planes],
    sql="""
        SELECT f.tailnum,
               max(p.manufacturer) AS manufacturer,
               max(p.seats) AS seats,
               max(p.built) AS built,
               count(DISTINCT f.dest) AS destinations_7d
        FROM {flights} f JOIN {planes} p ON f.tailnum = p.tailnum
        GROUP BY f.tailnum
    """,
    lookback=WEEK,
    schema=[
        Field(name="manufacturer", dtype=String),
        Field(name="seats", dtype=Int32),
        Field(name="built", dtype=Int32),
        Field(name="destinations_7d", dtype=Int64),
    ],
    expectations=[
        Expectation("expect_column_values_to_be_between", column="seats", min_value=1, max_value=900),
        Expectation("expect_column_values_to_be_unique", column="tailnum"),
    ],
    description="The register's entry of each aircraft that flew in the last week.",
    **DAILY,
)


@batch_feature_view(
    entities=[carrier, route],
    sources=[flights],
    schema=[
        Field(name="late_rate", dtype=Float64),
        Field(name="flights_30d", dtype=Int64),
        Field(name="mean_air_time", dtype=Float64),
    ],
    lookback=MONTH,
    expectations=[Expectation("expect_column_values_to_be_between", column="late_rate", min_value=0, max_value=1)],
    **DAILY,
)
def connection_record(flights: DataFrame) -> DataFrame:
    """How often a carrier was late on a route in 30 days, drawn to the overall rate where it flew seldom."""
    from pyspark.sql import functions as F

    prior_flights = 20.0
    overall = flights.agg(F.avg("late").alias("overall"))
    late, arrived = F.sum("late").cast("double"), F.count("late").cast("double")
    return (
        flights.crossJoin(F.broadcast(overall))
        .groupBy("carrier", "origin", "dest", "overall")
        .agg(
            ((F.coalesce(late, F.lit(0.0)) + prior_flights * F.col("overall")) / (arrived + prior_flights)).alias(
                "late_rate"
            ),
            F.count("*").alias("flights_30d"),
            F.avg("air_time").alias("mean_air_time"),
        )
        .drop("overall")
    )


departure = RequestSource(name="departure", schema=[Field(name="departs_at", dtype=Timestamp)])


@on_demand_feature_view(
    sources=[aircraft_delays[["last_departure", "departures_1d"]], departure],
    schema=[Field(name="hours_since_last_departure", dtype=Float64), Field(name="is_busy", dtype=Int64)],
)
def turnaround(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hours between the aircraft's last departure and the planned one; null when it has not been seen."""
    import numpy as np

    ground = np.ma.subtract(np.ma.asarray(inputs["departs_at"]), np.ma.asarray(inputs["last_departure"]))
    hours = np.ma.filled(ground.astype("timedelta64[us]").astype(np.float64) / 3.6e9, np.nan)
    return {
        "hours_since_last_departure": hours,
        "is_busy": (np.nan_to_num(np.asarray(inputs["departures_1d"], dtype=np.float64)) >= 4).astype(np.int64),
    }
