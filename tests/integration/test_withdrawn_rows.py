"""A repair that withdraws a row: online the row comes back that the table then answers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from deltalake import write_deltalake

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from tests.support.project import Clock, Project, rides_table
from tests.support.rides import RIDES, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

DEFINITIONS = '''"""One aggregate view, one plain view."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Entity, Field, FileSource
from featurestore.types import Int64, String

DAILY = {"start": datetime(2026, 3, 1, tzinfo=timezone.utc), "schedule": "@daily"}
driver = Entity(name="driver", join_keys=["driver_id"], dtypes=[Int64])
ride_stats = BatchFeatureView(
    name="ride_stats",
    entities=[driver],
    source=DeltaSource(name="rides", path="data/rides", timestamp_field="event_timestamp"),
    aggregations=[
        Aggregation(column="distance", function="sum", window=timedelta(days=2), name="distance_2d"),
        Aggregation(function="count", window=timedelta(days=1), name="rides_1d"),
    ],
    **DAILY,
)
ride_profile = BatchFeatureView(
    name="ride_profile",
    entities=[driver],
    source=FileSource(name="profiles", path="data/profiles.parquet", timestamp_field="event_timestamp"),
    schema=[Field(name="city", dtype=String), Field(name="seats", dtype=Int64)],
    **DAILY,
)
'''
REFS = ["ride_stats:distance_2d", "ride_stats:rides_1d", "ride_profile:city", "ride_profile:seats"]
OSLO = {"driver_id": 1, "event_timestamp": day(0, hour=1), "city": "Oslo", "seats": 4}
ROME = {"driver_id": 2, "event_timestamp": day(0, hour=2), "city": "Rome", "seats": None}
BONN = {"driver_id": 1, "event_timestamp": day(2, hour=1), "city": "Bonn", "seats": 7}
DRIVERS = [1, 2, 3]


def land(project: Project, rides: Sequence[dict[str, Any]], profiles: Sequence[dict[str, Any]]) -> None:
    """Replace the source data."""
    write_deltalake(project.root / "data" / "rides", rides_table(rides), mode="overwrite")
    table = pa.Table.from_pylist(list(profiles))
    pq.write_table(
        table.set_column(3, "seats", table["seats"].cast(pa.int64())), project.root / "data/profiles.parquet"
    )


def repair(store: FeatureStore, clock: Clock, number: int) -> list[str | None]:
    """Compute a day again and publish; give the cities that are then online: those that the table answers with."""
    clock.now += timedelta(hours=1)
    result = store.materialize(day(number), day(number + 1), repair=True)
    assert result.exit_code is ExitCode.DONE, result.to_line()
    return agreed(store, clock)


def agreed(store: FeatureStore, clock: Clock) -> list[str | None]:
    online = store.get_online_features(REFS, {"driver_id": DRIVERS})
    spine = pa.table({"driver_id": DRIVERS, "event_timestamp": [clock.now] * 3})
    table = store.get_historical_features(spine, REFS).to_arrow().to_pydict()
    found = online.to_dict()
    assert found == {name: table[name] for name in found}
    return list(found["city"])


def test_what_the_table_falls_back_to_comes_back_online(
    project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]
) -> None:
    project = project_maker(definitions=DEFINITIONS)
    clock = Clock(day(3, hour=1))
    store = store_opener(project, clock)
    land(project, RIDES, [OSLO, ROME, BONN])
    store.apply()
    assert store.materialize(day(0), day(3)).exit_code is ExitCode.DONE
    assert agreed(store, clock) == ["Bonn", "Rome", None]

    # The last ride and the last profile are withdrawn: both views fall back to what they said before.
    land(project, [*RIDES[:-1], ride(2, day(2, hour=5), 30.0, 1)], [OSLO, ROME])
    assert repair(store, clock, 2) == ["Oslo", "Rome", None]
    answer = store.get_online_features(REFS, {"driver_id": DRIVERS})
    assert answer.event_timestamps["city"] == [day(0, hour=1), day(0, hour=2), None]
    with redis.Redis.from_url(project.redis.url) as server:
        server.flushall()
    assert store.publish().exit_code is ExitCode.DONE
    assert agreed(store, clock) == ["Oslo", "Rome", None]
