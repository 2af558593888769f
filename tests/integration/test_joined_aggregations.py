"""Windows over joined inputs and over another view's rows, from definitions to lookups."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from tests.support.project import Clock, Project, error_of
from tests.support.rides import day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

DEFINITIONS = '''"""Rides joined to the city that their driver lived in, and how often drivers moved."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Entity, Field, FileSource
from featurestore.types import Float64, Int64, String

DAY = timedelta(days=1)
DAILY = {"start": datetime(2026, 3, 1, tzinfo=timezone.utc), "schedule": "@daily"}
LAST_DAY = {**DAILY, "start": datetime(2026, 3, 3, tzinfo=timezone.utc)}

driver = Entity(name="driver", join_keys=["driver_id"], dtypes=[Int64])
city = Entity(name="city", join_keys=["city"], dtypes=[String])
rides = DeltaSource(name="rides", path="data/rides", timestamp_field="event_timestamp")
profiles = FileSource(name="profiles", path="data/profiles.parquet", timestamp_field="event_timestamp")

profile = BatchFeatureView(
    name="profile", entities=[driver], source=profiles, schema=[Field(name="city", dtype=String)], **DAILY
)
moves = BatchFeatureView(
    name="moves",
    entities=[driver],
    source=profile,
    aggregations=[Aggregation(column="city", function="last_k", k=2, window=3 * DAY, name="cities")],
    **LAST_DAY,
)
city_rides = BatchFeatureView(
    name="city_rides",
    entities=[city],
    sources=[rides, profile],
    sql="""
        SELECT max_by(p.city, p.event_timestamp) AS city, r.event_timestamp, r.distance
        FROM {rides} r JOIN {profile} p ON p.driver_id = r.driver_id
            AND p.event_timestamp BETWEEN r.event_timestamp - INTERVAL 3 DAYS AND r.event_timestamp
        GROUP BY r.driver_id, r.event_timestamp, r.distance
    """,
    lookback=3 * DAY,
    schema=[Field(name="distance", dtype=Float64)],
    aggregations=[
        Aggregation(column="distance", function="sum", window=2 * DAY, name="distance_2d"),
        Aggregation(function="count", where="distance >= 20", window=2 * DAY, name="long_rides_2d"),
    ],
    **DAILY,
)
paces = BatchFeatureView(
    name="paces",
    entities=[driver],
    source=rides,
    sql="SELECT driver_id, event_timestamp, distance / 2 AS pace FROM {rides}",
    schema=[Field(name="pace", dtype=Float64)],
    aggregations=[Aggregation(column="pace", function="max", window=2 * DAY, name="pace_2d")],
    **LAST_DAY,
)
'''


def test_from_definitions_to_lookups(
    project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]
) -> None:
    clock = Clock(day(3, hour=1))
    store = store_opener(project_maker(definitions=DEFINITIONS), clock)
    store.apply()
    assert store.materialize(day(1), day(3), ["profile"]).exit_code is ExitCode.DONE
    waiting = store.materialize(day(2), day(3), ["city_rides"])
    assert waiting.exit_code is ExitCode.RETRY_LATER
    assert "profile: not computed yet for [2026-03-01T00:00:00Z, 2026-03-02T00:00:00Z)" in str(
        error_of(waiting, "city_rides")
    )
    done = store.materialize_incremental(clock.now)
    assert done.exit_code is ExitCode.DONE, done.to_line()

    table = store.read_offline("city_rides").to_arrow()
    columns = [table[name].to_pylist() for name in ("city", "event_timestamp", "distance_2d", "long_rides_2d")]
    assert sorted(zip(*columns, strict=True)) == [
        ("Oslo", day(1), 30.0, 1),
        ("Oslo", day(2), 60.0, 2),
        ("Oslo", day(3), 30.0, 1),
        ("Rome", day(1), 5.0, 0),
        ("Rome", day(3), None, 0),
    ]
    cities = store.get_online_features(["city_rides:distance_2d"], {"city": ["Oslo", "Rome", "Bonn"]})
    assert cities["distance_2d"] == [30.0, None, None]
    assert store.get_online_features(["moves:cities"], {"driver_id": [1, 2, 3]})["cities"] == [
        ["Bonn", "Oslo"],
        ["Rome"],
        None,
    ]
    assert store.get_online_features(["paces:pace_2d"], {"driver_id": [1, 2, 3]})["pace_2d"] == [15.0, None, 3.75]
