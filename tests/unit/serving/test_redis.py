"""Lookups on a real Redis, and the commands they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from featurestore.errors import OnlineStoreUnavailable
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, Clock, World, flags, scores, user_data

if TYPE_CHECKING:
    from featurestore.embedded.redis_server import RedisServer

FEATURES = ["user_data:click_through_rate", "flags:visits", "model_predictions:score"]


@pytest.mark.redis
def test_a_lookup_of_features_and_cached_predictions_is_one_mget(redis_server: RedisServer) -> None:
    view, other, predictions = user_data(), flags(), scores()
    store = RedisOnlineStore.connect(redis_server.url)
    world = World(view, other, predictions, store=CountingStore(store))
    for user_id in range(40):
        world.put(view, user_id, {"click_through_rate": user_id / 100})
        world.put(other, user_id, {"visits": user_id}, event=NOW)
        world.predict(predictions, user_id, float(user_id))
    rows = [{"user_id": user_id} for user_id in range(50)]
    ask = world.client.get_online_features
    ask(FEATURES, rows, repair=False)
    with Redis.from_url(redis_server.url) as redis:
        redis.config_resetstat()
        response = ask(FEATURES, rows)
        commands = redis.info("commandstats")
    store.close()
    assert response["score"] == [*map(float, range(40)), *[None] * 10]
    assert response["visits"] == [*range(40), *[None] * 10]
    assert commands["cmdstat_mget"]["calls"] == 1
    assert set(commands) <= {"cmdstat_mget", "cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}


def test_a_server_that_is_down_is_a_typed_error() -> None:
    store = RedisOnlineStore.connect("unix:///nonexistent/featurestore.sock")
    manifest = World(user_data()).manifest
    client = OnlineClient(store, PROJECT, manifests=FixedManifests(manifest), clock=Clock())
    with pytest.raises(OnlineStoreUnavailable):
        client.get_online_features(FEATURES[:1], [{"user_id": 1}], deadline=1)
