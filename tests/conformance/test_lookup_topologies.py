"""A lookup of two views and cached predictions, and its live repair, over every topology."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from featurestore.serving.aio import AsyncOnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.response import OnlineResponse
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, World, flags, scores, user_data
from tests.support.topologies import Address, running_topology

pytestmark = pytest.mark.redis

FEATURES = ["user_data:click_through_rate", "flags:visits", "model_predictions:score"]


@pytest.fixture(scope="module", params=["unix", "tls", "sentinel", "cluster"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running_topology(request.param, tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture(scope="module")
def store(address: Address) -> Iterator[RedisOnlineStore]:
    with closing(address.connect()) as opened:
        yield opened


def test_features_and_predictions_come_in_one_read(store: RedisOnlineStore) -> None:
    view, other, predictions = user_data(), flags(), scores()
    world = World(view, other, predictions, store=CountingStore(store))
    for user_id in range(40):
        world.put(view, user_id, {"click_through_rate": user_id / 100})
        world.put(other, user_id, {"visits": user_id}, event=NOW)
        world.predict(predictions, user_id, float(user_id))
    rows = [{"user_id": user_id} for user_id in range(50)]
    world.client.get_online_features(FEATURES, rows, repair=False)
    world.store.reads.clear()
    response = world.client.get_online_features(FEATURES, rows, repair=False)
    assert world.store.reads == [1 + 3 * 50]
    assert response["click_through_rate"] == [*(user_id / 100 for user_id in range(40)), *[None] * 10]
    assert response["visits"] == [*range(40), *[None] * 10]
    assert response["score"] == [*map(float, range(40)), *[None] * 10]


def test_a_lookup_in_an_event_loop_answers_alike(address: Address, store: RedisOnlineStore) -> None:
    view, other = user_data(storage_id=21), flags(storage_id=22)
    world = World(view, other, store=CountingStore(store))
    for user_id in range(20):
        world.put(view, user_id, {"click_through_rate": user_id / 100})
        world.put(other, user_id, {"visits": user_id}, event=NOW)
    rows = [{"user_id": user_id} for user_id in range(25)]

    async def ask() -> OnlineResponse:
        client = AsyncOnlineClient(
            AsyncRedisOnlineStore.connect(address.url, **address.options),
            store,
            PROJECT,
            manifests=FixedManifests(world.manifest),
            clock=world.clock,
        )
        answer = await client.get_online_features(FEATURES[:2], rows)
        await client.close()
        return answer

    assert asyncio.run(ask()).to_dict() == world.client.get_online_features(FEATURES[:2], rows).to_dict()


def test_a_missing_prediction_is_made_and_found_by_the_next_lookup(store: RedisOnlineStore) -> None:
    view, predictions = user_data(storage_id=11), scores(storage_id=13)
    world = World(view, predictions, store=CountingStore(store))
    for user_id in range(20):
        world.put(view, user_id, {"click_through_rate": user_id / 100, "number_of_clicks": 1})
    rows = [{"user_id": user_id} for user_id in range(20)]
    first = world.client.get_online_features(FEATURES[::2], rows)
    assert {answer[0].value for answer in first.predictions["model_predictions"]} == {"LIVE"}
    second = world.client.get_online_features(FEATURES[::2], rows)
    assert {answer[0].value for answer in second.predictions["model_predictions"]} == {"CACHED"}
    assert second["score"] == first["score"]
