"""What end-to-end tests define: rides of drivers, every kind of view, small enough to check by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "CORE",
    "DAY",
    "DEFINITIONS",
    "FIRST_DAY",
    "MODEL",
    "RIDES",
    "SERVICE",
    "STATS",
    "day",
    "expected_score",
    "ride",
]

DAY = timedelta(days=1)
FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
SERVICE = "board"


def day(number: int, *, hour: int = 0) -> datetime:
    """Give the instant ``hour`` hours into day ``number``; days count from 0."""
    return FIRST_DAY + timedelta(days=number, hours=hour)


def ride(driver: int | None, at: datetime, distance: float, rating: int | None) -> dict[str, Any]:
    return {"driver_id": driver, "event_timestamp": at, "distance": distance, "rating": rating}


RIDES = (
    ride(1, day(0, hour=6), 10.0, 5),
    ride(1, day(0, hour=18), 20.0, 4),
    ride(2, day(0, hour=9), 5.0, None),
    ride(1, day(1, hour=7), 30.0, 3),
    ride(3, day(2, hour=12), 7.5, 2),
)
"""Three days of rides; driver 2 rides on the first day alone, driver 3 on the last."""

MODEL = '''"""A model whose answers can be told by heart."""

import numpy as np


class TipModel:
    def predict(self, inputs):
        distance = np.nan_to_num(np.asarray(inputs["distance_2d"], dtype=np.float64))
        rides = np.nan_to_num(np.asarray(inputs["rides_1d"], dtype=np.float64))
        return {"tip": distance / 10 + rides}


def load():
    return TipModel()
'''


def expected_score(distance: float | None, rides: int) -> float:
    """Answer as the model does."""
    return (distance or 0.0) / 10 + rides


STATS = '''"""Rides: statistics by window, profiles, SQL, a function, a request-time feature and a prediction."""

from datetime import datetime, timedelta, timezone

from featurestore import (
    Aggregation,
    BatchFeatureView,
    DeltaSource,
    Entity,
    Expectation,
    FeatureService,
    Field,
    FileSource,
    Model,
    PredictionView,
    RequestSource,
    batch_feature_view,
    on_demand_feature_view,
)
from featurestore.types import Float64, Int64, String

DAY = timedelta(days=1)
DAILY = {"start": datetime(2026, 3, 1, tzinfo=timezone.utc), "schedule": "@daily"}

driver = Entity(name="driver", join_keys=["driver_id"], dtypes=[Int64])
rides = DeltaSource(name="rides", path="data/rides", timestamp_field="event_timestamp")
profiles = FileSource(name="profiles", path="data/profiles.parquet", timestamp_field="event_timestamp")

ride_stats = BatchFeatureView(
    name="ride_stats",
    entities=[driver],
    source=rides,
    aggregations=[
        Aggregation(column="distance", function="sum", window=2 * DAY, name="distance_2d"),
        Aggregation(function="count", window=DAY, name="rides_1d"),
        Aggregation(column="rating", function="mean", window=2 * DAY, name="rating_2d"),
    ],
    expectations=[
        Expectation("expect_column_values_to_not_be_null", column="driver_id", on="input"),
        Expectation("expect_column_values_to_be_between", column="distance", min_value=0, on="input"),
        Expectation("expect_column_values_to_be_between", column="rating_2d", min_value=1, max_value=5),
    ],
    owner="riders",
    **DAILY,
)

'''
"""The view of statistics alone."""

_OTHERS = """
ride_profile = BatchFeatureView(
    name="ride_profile",
    entities=[driver],
    source=profiles,
    schema=[Field(name="city", dtype=String), Field(name="seats", dtype=Int64)],
    **DAILY,
)

longest_ride = BatchFeatureView(
    name="longest_ride",
    entities=[driver],
    sources=[rides],
    sql="SELECT driver_id, max(distance) AS longest FROM {rides} GROUP BY driver_id",
    lookback=2 * DAY,
    schema=[Field(name="longest", dtype=Float64)],
    **DAILY,
)


@batch_feature_view(
    entities=[driver], sources=[rides], schema=[Field(name="last_hour", dtype=Int64)], lookback=DAY, **DAILY
)
def last_hour(rides):
    from pyspark.sql import functions as F

    return rides.groupBy("driver_id").agg(F.max(F.hour("event_timestamp")).cast("bigint").alias("last_hour"))


request = RequestSource(name="request", schema=[Field(name="planned", dtype=Float64)])


@on_demand_feature_view(
    sources=[ride_stats[["distance_2d"]], request],
    schema=[Field(name="load", dtype=Float64)],
    write_to_online_store=True,
)
def workload(inputs):
    return {"load": inputs["distance_2d"] + inputs["planned"]}


"""

_TIPS = """
tips = PredictionView(
    name="tips",
    entities=[driver],
    features=ride_stats[["distance_2d", "rides_1d"]],
    model=Model(name="tip", version="1", load="PACKAGE.model:load"),
    outputs=[Field(name="tip", dtype=Float64)],
    max_age=timedelta(hours=30),
    **DAILY,
)

"""

_BOARD = """
board = FeatureService(name="board", features=[ride_stats, ride_profile, longest_ride, last_hour, workload, tips])
"""

CORE = STATS + _TIPS
"""Statistics and the predictions made of them."""

DEFINITIONS = STATS + _OTHERS + _TIPS + _BOARD
"""Every kind of view."""
