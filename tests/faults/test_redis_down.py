"""Redis stops, comes back, or loses its data: a typed error, nothing lost, and publication completes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from featurestore import FeatureStore
from featurestore.errors import ExitCode, OnlineStoreUnavailable
from tests.support.project import Clock, Project, error_of
from tests.support.rides import CORE, day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

FEATURES = ["ride_stats:distance_2d", "tips:tip"]


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    return project_maker(definitions=CORE)


@pytest.fixture(scope="module")
def store(project: Project, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """A store with one step published."""
    opened = store_opener(project, Clock(day(2, hour=1)))
    opened.apply()
    assert opened.materialize(day(0), day(1)).exit_code is ExitCode.DONE
    return opened


def distance(store: FeatureStore) -> list[float | None]:
    found: list[float | None] = store.get_online_features(FEATURES, [{"driver_id": 1}]).to_dict()["distance_2d"]
    return found


def test_redis_stopped_before_publication_loses_nothing(store: FeatureStore, project: Project) -> None:
    assert distance(store) == [30.0]

    def stop_at_publication(number: int, total: int, text: str) -> None:
        if text == "publish ride_stats":
            project.redis.stop()

    result = store.materialize(day(1), day(2), progress=stop_at_publication)
    assert result.exit_code is ExitCode.FAILED
    assert {error_of(result, view)["type"] for view in ("ride_stats", "tips")} == {"OnlineStoreUnavailable"}
    assert not store.missing_intervals("tips", day(0), day(2))

    started = time.monotonic()
    with pytest.raises(OnlineStoreUnavailable):
        store.get_online_features(FEATURES, [{"driver_id": 1}], deadline=2)
    assert time.monotonic() - started < 2

    project.redis.start()
    assert distance(store) == [30.0]
    assert store.publish().exit_code is ExitCode.DONE
    assert distance(store) == [60.0]
    assert store.publish().exit_code is ExitCode.NOTHING_TO_DO


def test_lost_redis_data_is_noticed_and_published_anew(store: FeatureStore, project: Project) -> None:
    before = project.online_values()
    with redis.Redis.from_url(project.redis.url) as client:
        client.flushall()
    result = store.publish()
    assert result.exit_code is ExitCode.DONE
    assert [view.published.sent for view in result.views if view.published] == [2, 2]
    assert project.online_values() == before
    assert distance(store) == [60.0]
