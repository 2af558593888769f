"""The predictions: will a carrier's next flight on a route arrive more than 15 minutes late, and how long it flies."""

from __future__ import annotations

from datetime import timedelta

from definitions.flights.entities import carrier, route
from definitions.flights.features import (
    aircraft_delays,
    aircraft_profile,
    airport_delays,
    carrier_delays,
    connection_record,
    turnaround,
    weather,
)
from definitions.flights.replay import first_step
from featurestore import Expectation, FeatureService, Field, Model, PredictionView, RequestSource
from featurestore.types import Float64, Int64

late_arrival_inputs = FeatureService(
    name="late_arrival_inputs",
    features=[
        connection_record,
        carrier_delays[["mean_arrival_delay_1d", "late_share_7d", "late_share_30d"]],
        airport_delays[["mean_departure_delay_1d", "departure_delay_spread_7d"]],
        weather[["wind_speed", "precip", "visib"]],
    ],
    description="What the late-arrival model reads; its training set asks for the same service.",
)

late_arrival = PredictionView(
    name="late_arrival",
    entities=[carrier, route],
    features=late_arrival_inputs,
    model=Model(
        name="late_arrival",
        version="1",
        load="definitions.flights.model:load",
        files=["definitions/flights/models/late_arrival-1.joblib"],
    ),
    outputs=[Field(name="probability_late", dtype=Float64)],
    start=first_step(),
    schedule="@daily",
    max_age=timedelta(hours=30),
    on_stale="infer",
    on_failure="serve_stale",
    expectations=[
        Expectation("expect_column_values_to_be_between", column="probability_late", min_value=0, max_value=1),
        Expectation("expect_column_values_to_not_be_null", column="probability_late"),
    ],
    owner="flight-operations",
    description="Probability that the next flight arrives more than 15 minutes late.",
)

flight_time = PredictionView(
    name="flight_time",
    entities=[],
    request=RequestSource(name="leg", schema=[Field(name="distance", dtype=Int64)]),
    model=Model(name="flight_time", version="1", load="definitions.flights.model:load_flight_time"),
    outputs=[Field(name="air_minutes", dtype=Float64)],
    max_age=timedelta(days=30),
    on_stale="infer",
    owner="flight-operations",
    description="Minutes in the air by distance alone: inferred when first asked for, cached by the request.",
)

departure_board = FeatureService(
    name="departure_board",
    features=[
        carrier_delays[["late_share_7d", "mean_arrival_delay_7d"]],
        airport_delays[["mean_departure_delay_1d", "cancellations_1d"]],
        aircraft_delays[["departures_1d"]],
        aircraft_profile[["seats"]],
        turnaround[["hours_since_last_departure"]],
        late_arrival,
    ],
    description="What the departure board shows for one planned flight.",
)
