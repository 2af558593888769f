"""Written on-demand features on every store: one after the other as the oracle says, at once never a wrong value."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from featurestore.stores.base import OnlineStore
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.on_demand import written_world
from tests.support.on_demand_oracle import Doer, Oracle, happenings
from tests.support.online import running_redis
from tests.support.redis_nodes import redis_program
from tests.support.writing import writer_on


@pytest.fixture(
    scope="module", params=["memory", *(pytest.param(version, marks=pytest.mark.redis) for version in ("6.2", "7.0"))]
)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    if redis_program(request.param) is None:
        pytest.skip(f"no redis-server {request.param} is installed")
    with running_redis(tmp_path_factory.mktemp("r"), version=request.param) as url:
        opened = RedisOnlineStore.connect(url)
        yield opened
        opened.close()


def emptied(store: OnlineStore) -> CountingStore:
    for keys in list(store.scan(b"*", lot=1000)):
        store.delete(keys)
    return CountingStore(store)


@pytest.mark.parametrize("seed", range(100, 112))
def test_one_after_the_other_as_the_oracle_says(store: OnlineStore, seed: int) -> None:
    oracle, doer = Oracle(), Doer(store=emptied(store))
    for item in happenings(seed, 8):
        oracle.said.append(item)
        doer.do(item)
        assert doer.value() == oracle.value(), oracle.said


def test_producers_at_once_never_make_a_wrong_value(store: OnlineStore) -> None:
    """Every answer has the function of the very inputs that it has beside it."""
    world = written_world(store=emptied(store))
    features = ["mixes:mixed", "amounts:amount", "limits:limit"]
    is_over = threading.Event()
    wrong: list[dict[str, object]] = []

    def produce(view: str, column: str) -> None:
        writer = writer_on(world)
        for number in range(1, 41):
            writer.write(view, {"user_id": [1, 2], column: [float(number), float(-number)]})

    def look() -> None:
        while not is_over.is_set():
            answer = world.client.get_online_features(features, {"user_id": [1, 2]}).to_dict()
            for mixed, amount, limit in zip(answer["mixed"], answer["amount"], answer["limit"], strict=True):
                if mixed != (None if amount is None or limit is None else amount * 1000 + limit):
                    wrong.append(answer)

    producers = [
        threading.Thread(target=produce, args=(f"{column}s", column)) for column in ("amount", "limit", "amount")
    ]
    readers = [threading.Thread(target=look) for _ in range(2)]
    for thread in (*producers, *readers):
        thread.start()
    for thread in producers:
        thread.join()
    is_over.set()
    for thread in readers:
        thread.join()
    assert wrong == []
    answer = world.client.get_online_features(features, {"user_id": [1]}).to_dict()
    assert (answer["mixed"], answer["limit"]) == ([answer["amount"][0] * 1000 + 40.0], [40.0])
