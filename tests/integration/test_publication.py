"""Publication of changed rows: its Redis commands, its checks, rows that landed, and single keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from featurestore import FeatureStore, PushMode
from featurestore.errors import ExitCode
from featurestore.runtime.results import JobResult
from tests.support.project import Clock, Project, error_of
from tests.support.rides import day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

DEFINITIONS = '''"""A plain view of a file, views that are only pushed, and a written on-demand view."""

from datetime import datetime, timedelta, timezone

from featurestore import BatchFeatureView, Entity, Field, FileSource, PushSource, on_demand_feature_view
from featurestore.types import Float64, Int64, String

driver = Entity(name="driver", join_keys=["driver_id"], dtypes=[Int64])
profile = BatchFeatureView(
    name="profile",
    entities=[driver],
    source=FileSource(name="profiles", path="data/profiles.parquet", timestamp_field="event_timestamp"),
    schema=[Field(name="city", dtype=String), Field(name="seats", dtype=Int64)],
    start=datetime(2026, 3, 1, tzinfo=timezone.utc),
    schedule="@daily",
    ttl=timedelta(days=900),
)
position = BatchFeatureView(
    name="position",
    entities=[driver],
    source=PushSource(name="positions"),
    schema=[Field(name="street", dtype=String)],
)
speed = BatchFeatureView(
    name="speed", entities=[driver], source=PushSource(name="speeds"), schema=[Field(name="kmh", dtype=Float64)]
)


@on_demand_feature_view(sources=[speed], schema=[Field(name="minutes", dtype=Float64)], write_to_online_store=True)
def pace(inputs):
    return {"minutes": 60 / inputs["kmh"]}
'''
DRIVERS = 300


def profile(driver: int, number: int) -> dict[str, Any]:
    return {"driver_id": driver, "event_timestamp": day(number, hour=1), "city": f"c{number}", "seats": driver}


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    return project_maker(definitions=DEFINITIONS)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(day(1, hour=1))


@pytest.fixture(scope="module")
def store(project: Project, clock: Clock, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """A store whose first day is published: a row of each driver."""
    land(project, [profile(driver, 0) for driver in range(DRIVERS)])
    opened = store_opener(project, clock)
    opened.apply()
    result = opened.materialize(day(0), day(1), ["profile"])
    assert published(result) == {"sent": DRIVERS, "written": DRIVERS, "ignored": 0, "expired": 0, "sampled": 0}
    return opened


def land(project: Project, profiles: Sequence[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(profiles)), project.root / "data/profiles.parquet")


def published(result: JobResult) -> dict[str, int]:
    assert result.exit_code is ExitCode.DONE, result.to_line()
    found = result.views[0].published
    assert found is not None
    counts = found.to_dict()
    return {name: counts[name] for name in ("sent", "written", "ignored", "expired", "sampled")}


def commands(client: redis.Redis) -> int:
    stats: dict[str, dict[str, int]] = client.info("commandstats")
    return sum(
        entry["calls"] for name, entry in stats.items() if name not in ("cmdstat_info", "cmdstat_config|resetstat")
    )


def test_one_percent_changed_takes_commands_for_the_changed_rows(
    project: Project, clock: Clock, store: FeatureStore
) -> None:
    everyone = [profile(driver, 0) for driver in range(DRIVERS)]
    land(project, [*everyone, *(profile(driver, 1) for driver in range(3))])
    clock.now = day(2, hour=1)
    with redis.Redis.from_url(project.redis.url) as client:
        client.config_resetstat()
        result = store.materialize(day(1), day(2), ["profile"])
        few = commands(client)
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    counts = published(result)
    assert (counts["sent"], counts["written"], counts["ignored"]) == (3, 3, 0)
    assert counts["sampled"] > 0
    assert calls <= 4, "one write script; the others are records and the project's number"
    assert few <= 40


def test_rows_that_an_earlier_publication_sent_and_redis_lost_fail_the_task(
    project: Project, clock: Clock, store: FeatureStore
) -> None:
    everyone = [profile(driver, 0) for driver in range(DRIVERS)]
    changed = [profile(driver, 1) for driver in range(3)]
    land(project, [*everyone, *changed, profile(5, 2)])
    clock.now = day(3, hour=1)
    with redis.Redis.from_url(project.redis.url) as client:
        client.delete(*client.keys("{*"))
        result = store.materialize(day(2), day(3), ["profile"])
        assert result.exit_code is ExitCode.FAILED
        error = error_of(result, "profile")
        assert error["type"] == "ReconciliationFailed"
        assert "sampled keys lost in the online store what an earlier publication sent: driver_id=" in error["message"]
        assert "The next publication sends every row anew" in error["message"]
        again = published(store.publish(["profile"]))
        assert (again["sent"], again["ignored"]) == (DRIVERS, 1)
        assert len(client.keys("{*")) == DRIVERS


def test_landed_rows_are_appended_once_and_published(store: FeatureStore, clock: Clock) -> None:
    rows = {
        "driver_id": [1, 2],
        "street": ["a", "b"],
        "event_timestamp": [day(1)] * 2,
        "created_timestamp": [day(1)] * 2,
    }
    for _ in range(2):
        assert store.write_to_offline_store("position", rows).landed == 2
    result = store.materialize(day(0), day(3), ["position"])
    assert published(result) == {"sent": 2, "written": 2, "ignored": 0, "expired": 0, "sampled": 0}
    store.write_to_offline_store("position", rows)
    assert store.publish(["position"]).views[0].published is not None
    table = store.read_offline("position").to_arrow().sort_by("driver_id").to_pylist()
    assert [(row["driver_id"], row["street"], row["event_timestamp"]) for row in table] == [
        (1, "a", day(1)),
        (2, "b", day(1)),
    ]
    assert store.get_online_features(["position:street"], {"driver_id": [1, 2, 3]})["street"] == ["a", "b", None]


def test_a_deleted_key_returns_by_publishing_it_or_with_a_newer_row(store: FeatureStore, clock: Clock) -> None:
    refs, drivers = ["position:street"], {"driver_id": [1, 2]}
    assert store.delete_online("position", drivers).written == 2
    store.publish(["position"])
    assert store.get_online_features(refs, drivers)["street"] == [None, None]
    result = store.publish_keys("position", [{"driver_id": 1}])
    assert (result.exit_code, published(result)["written"]) == (ExitCode.DONE, 1)
    answer = store.get_online_features(refs, drivers)
    assert (answer["street"], answer.event_timestamps["street"]) == (["a", None], [day(1), None])
    again = store.publish_keys("position", {"driver_id": [1, 99]})
    assert published(again)["written"] == 0
    store.write_to_online_store("position", {"driver_id": [2], "street": ["new"]})
    assert store.get_online_features(refs, drivers)["street"] == ["a", "new"]


def test_written_on_demand_features_follow_what_a_publication_brings(store: FeatureStore) -> None:
    def pace(*drivers: int) -> list[float | None]:
        found: list[float | None] = store.get_online_features(["pace:minutes"], {"driver_id": list(drivers)})["minutes"]
        return found

    pushed = {"driver_id": [1, 2], "kmh": [30.0, 20.0], "event_timestamp": [day(1)] * 2}
    result = store.push("speeds", pushed, to=PushMode.ONLINE_AND_OFFLINE)
    assert ({view: count.written for view, count in result.views.items()}, result.landed) == (
        {"speed": 2, "pace": 2},
        2,
    )
    assert pace(1, 2) == [2.0, 3.0]
    landed = {"driver_id": [1, 3], "kmh": [60.0, 15.0], "event_timestamp": [day(1, hour=1)] * 2}
    assert store.write_to_offline_store("speed", landed).landed == 2
    assert store.publish(["speed"]).exit_code is ExitCode.DONE
    spine = pa.table({"driver_id": [1, 2, 3], "event_timestamp": [day(2)] * 3})
    training = store.get_historical_features(spine, ["pace:minutes"]).to_arrow()["minutes"].to_pylist()
    assert pace(1, 2, 3) == training == [1.0, 3.0, 4.0]
    assert store.write_to_online_store("pace", {"driver_id": [1, 2, 3]}).written == 3
    assert pace(1, 2, 3) == training


def test_without_ttl_rows_stay_that_were_to_expire(project: Project, clock: Clock, store: FeatureStore) -> None:
    with redis.Redis.from_url(project.redis.url) as client:
        ending = [name for name in client.keys("{*") if client.pttl(name) > 0]
        project.define(DEFINITIONS.replace("    ttl=timedelta(days=900),\n", ""))
        store.apply()
        published(store.publish(["profile"]))
        assert ending and all(client.pttl(name) == -1 for name in ending)
