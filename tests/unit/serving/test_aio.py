"""Lookups inside an event loop: the same answers, nothing blocked, deadlines and cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.codec.keys import manifest_key
from featurestore.errors import (
    DeadlineExceeded,
    EntityKeyMissing,
    FeatureNameCollision,
    FeatureNotFound,
    StalePrediction,
)
from featurestore.ir.nodes import CodeRef, ServiceNode
from featurestore.ir.serialize import manifest_to_json
from featurestore.serving.aio import AsyncOnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.response import OnlineResponse
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.online import running_redis
from tests.support.serving import NOW, PROJECT, World, flags, recency, ref, scores, user_data
from tests.support.serving_functions import CALLS

SCORE = "model_predictions:score"
FEATURES = ["user_data:click_through_rate", "flags:visits", SCORE, "recency:seconds_since", "recency:visits_doubled"]
ROWS = [{"user_id": user_id, "now": NOW} for user_id in (2, 1, None, 9, 2, "1", 2.0)]


class CountingReader:
    """Counts the round trips of a reader for asyncio, and holds them up when told to."""

    def __init__(self, inner: CountingStore) -> None:
        self._inner = inner
        self.reads: list[int] = []
        self.seconds = 0.0

    async def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        self.reads.append(len(keys))
        await asyncio.sleep(self.seconds)
        return self._inner.read(keys, deadline=deadline)

    async def close(self) -> None:
        self.seconds = 0.0


@pytest.fixture(autouse=True)
def forget_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def world_of(mode: str = "numpy", **overrides: Any) -> World:
    features, other, predictions = user_data(), flags(), scores(**overrides)
    code = CodeRef(path=f"tests.support.serving_functions:recency_{mode}", digest="")
    world = World(features, other, predictions, on_demand_views={"recency": recency(mode=mode, code=code)})
    for user_id in (1, 2):
        world.put(features, user_id, {"click_through_rate": user_id / 10, "number_of_clicks": user_id})
        world.put(other, user_id, {"visits": user_id, "last_seen": NOW - timedelta(seconds=user_id)})
    world.predict(predictions, 1, 0.93)
    return world


def clients(world: World) -> tuple[AsyncOnlineClient, CountingReader]:
    reader = CountingReader(world.store)
    client = AsyncOnlineClient(
        reader, world.store, PROJECT, manifests=FixedManifests(world.manifest), clock=world.clock, deadline=5
    )
    return client, reader


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def shown(response: OnlineResponse) -> list[Any]:
    return [
        response.to_dict(include_event_timestamps=True),
        response.statuses,
        response.ages,
        [answer[:1] for answer in response.predictions["model_predictions"]],
        {name: repr(values) for name, values in response.to_numpy().items()},
        response.to_arrow().drop_columns(["user_id"]).to_pylist(),
    ]


@pytest.mark.parametrize("mode", ["numpy", "pandas", "python"])
@pytest.mark.parametrize("full_feature_names", [False, True])
def test_both_clients_give_the_same(mode: str, full_feature_names: bool) -> None:
    rows = [row | {"user_id": int(row["user_id"]) if row["user_id"] else None} for row in ROWS]  # type: ignore[call-overload]
    sync = world_of(mode).client.get_online_features(FEATURES, rows, full_feature_names=full_feature_names)
    client, _ = clients(world_of(mode))
    found = run(client.get_online_features(FEATURES, rows, full_feature_names=full_feature_names))
    assert shown(found) == shown(sync)
    statuses = [answer.status for answer in found.predictions["model_predictions"]]
    assert statuses == ["LIVE", "CACHED", "MISSING", "MISSING", "LIVE", "CACHED", "LIVE"]


def test_a_lookup_is_one_round_trip_and_a_miss_is_inferred_once() -> None:
    client, reader = clients(world_of())

    async def main() -> None:
        first = await client.get_online_features(FEATURES, ROWS)
        assert first["visits_doubled"] == [4, 2, None, None, 4, 2, 4]
        reader.reads.clear()
        again = await client.get_online_features(FEATURES, ROWS)
        assert again["score"] == first["score"]
        assert reader.reads == [1 + 3 * 6]

    run(main())
    assert len(CALLS) == 1


def test_a_model_that_runs_holds_up_no_other_task(monkeypatch: pytest.MonkeyPatch) -> None:
    started, release = threading.Event(), threading.Event()

    class Slow:
        def predict(self, model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
            started.set()
            assert release.wait(10)
            return {"score": inputs["click_through_rate"]}

    world = world_of()
    client = AsyncOnlineClient(
        CountingReader(world.store),
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        deadline=10,
        predictor=Slow(),
    )

    async def main() -> None:
        slow = asyncio.ensure_future(client.get_online_features([SCORE], [{"user_id": 2}]))
        while not started.is_set():
            await asyncio.sleep(0.001)
        for _ in range(20):
            await client.get_online_features(["flags:visits"], [{"user_id": 1}])
        assert not slow.done()
        release.set()
        assert (await slow)["score"] == [0.2]
        await client.close()

    run(main())


def test_a_deadline_that_passed_is_an_error_and_so_are_wrong_requests() -> None:
    client, _ = clients(world_of(on_stale="error"))
    for error, features, rows, deadline in (
        (DeadlineExceeded, FEATURES[:1], [{"user_id": 1}], 0),
        (EntityKeyMissing, FEATURES[:1], [{"user": 1}], 5),
        (FeatureNotFound, ["user_data:nothing"], [{"user_id": 1}], 5),
        (StalePrediction, [SCORE], [{"user_id": 2}], 5),
    ):
        with pytest.raises(error):
            run(client.get_online_features(features, rows, deadline=deadline))
    assert run(client.get_online_features(FEATURES[:2], [])).to_dict() == {
        "user_id": [],
        "click_through_rate": [],
        "visits": [],
    }


@pytest.mark.redis
def test_cancelled_lookups_leave_no_reply_for_the_next(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("r")
    with running_redis(Path(folder)) as url:
        store = RedisOnlineStore.connect(url)
        view = user_data()
        world = World(view, store=CountingStore(store))
        for user_id in range(1, 2001):
            world.put(view, user_id, {"click_through_rate": float(user_id)})
        client = AsyncOnlineClient(
            AsyncRedisOnlineStore.connect(url),
            store,
            PROJECT,
            manifests=FixedManifests(world.manifest),
            clock=world.clock,
            deadline=5,
        )

        async def ask(first: int, count: int) -> list[float]:
            rows = {"user_id": list(range(first, first + count))}
            found: list[float] = (await client.get_online_features(FEATURES[:1], rows))["click_through_rate"]
            return found

        async def main() -> None:
            await ask(1, 1)
            for turn in range(30):
                tasks = [asyncio.ensure_future(ask(1, 1000)) for _ in range(4)]
                await asyncio.sleep(0.0002 * turn)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                user_id = 1000 + turn
                assert await ask(user_id, 3) == [float(user_id), user_id + 1.0, user_id + 2.0]
            found = await asyncio.gather(*(ask(user_id, 1) for user_id in range(1, 65)))
            assert found == [[float(user_id)] for user_id in range(1, 65)]
            await client.close()

        run(main())


@pytest.mark.redis
def test_the_facade_looks_up_in_both_ways_by_redis_alone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_redis(Path(tmp_path_factory.mktemp("r"))) as url:
        redis = RedisOnlineStore.connect(url)
        view = user_data()
        world = World(view, store=CountingStore(redis))
        world.put(view, 1, {"click_through_rate": 0.4})
        redis.put_record(manifest_key(PROJECT), manifest_to_json(world.manifest).encode())
        config = {"project": PROJECT, "online_store": {"type": "redis", "connection_string": url}}

        async def main() -> Any:
            async with FeatureStore(tmp_path, config) as store:
                found = await store.get_online_features_async(feature_refs=FEATURES[:1], entity_rows=[{"user_id": 1}])
                assert store.get_online_features(FEATURES[:1], [{"user_id": 1}]).to_dict() == found.to_dict()
                with pytest.raises(FeatureNotFound, match="no features are named"):
                    await store.get_online_features_async(entity_rows=[{"user_id": 1}])
                return found

        assert run(main())["click_through_rate"] == [0.4]
        redis.close()


def test_many_tasks_share_a_client() -> None:
    client, reader = clients(world_of())
    reader.seconds = 0.02

    async def main() -> float:
        await client.get_online_features(FEATURES[:2], [{"user_id": 1}])
        start = time.monotonic()
        found = await asyncio.gather(
            *(client.get_online_features(FEATURES[:2], [{"user_id": 1 + number % 2}]) for number in range(100))
        )
        assert [answer["visits"] for answer in found] == [[1 + number % 2] for number in range(100)]
        return time.monotonic() - start

    assert run(main()) < 100 * 0.02


def test_services_renamed_views_and_mapped_keys_are_the_same_in_both() -> None:
    view = user_data()
    service = ServiceNode(
        name="introduction",
        features=(
            ref("user_data", "number_of_clicks", alias="sender", join_key_map=(("user_id", "sender_id"),)),
            ref("user_data", "number_of_clicks", alias="receiver", join_key_map=(("user_id", "receiver_id"),)),
        ),
    )
    world = World(view, services={"introduction": service})
    for user_id in (1, 2):
        world.put(view, user_id, {"number_of_clicks": user_id * 10})
    client, reader = clients(world)
    rows = {"receiver_id": [2, 1, None], "sender_id": [1, 9, 2]}
    expected = {
        "sender_id": [1, 9, 2],
        "receiver_id": [2, 1, None],
        "sender__number_of_clicks": [10, None, 20],
        "receiver__number_of_clicks": [20, 10, None],
    }
    assert world.client.get_online_features("introduction", rows, full_feature_names=True).to_dict() == expected
    assert run(client.get_online_features("introduction", rows, full_feature_names=True)).to_dict() == expected
    assert reader.reads == [1, 1 + 5]
    for ask in (world.client.get_online_features, lambda *given: run(client.get_online_features(*given))):
        with pytest.raises(FeatureNameCollision, match="full_feature_names=True"):
            ask("introduction", rows)


def test_pinned_versions_are_the_same_in_both() -> None:
    old, new = user_data(), user_data(version=2, storage_id=12, fingerprint="new")
    world = World(new, older=(old,))
    world.put(old, 1, {"click_through_rate": 0.1})
    world.put(new, 1, {"click_through_rate": 0.2})
    manifests = FixedManifests(world.manifest, (old,))
    client = AsyncOnlineClient(
        CountingReader(world.store), world.store, PROJECT, manifests=manifests, clock=world.clock
    )
    pinned = ["user_data@1:click_through_rate"]
    assert world.client.get_online_features(pinned, [{"user_id": 1}])["click_through_rate"] == [0.1]
    assert run(client.get_online_features(pinned, [{"user_id": 1}]))["click_through_rate"] == [0.1]
    with pytest.raises(FeatureNotFound, match="version 3 of view 'user_data' is not readable"):
        run(client.get_online_features(["user_data@3:click_through_rate"], [{"user_id": 1}]))
