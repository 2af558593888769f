"""No interleaving of publications, scorings, version switches and lookups serves as CACHED what is stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from featurestore.intervals import utc_now
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.interleaving import USERS, Interleaved
from tests.support.online import running_redis
from tests.support.prediction_oracle import Served, judge
from tests.support.serving import NOW

Action = tuple[Any, ...]

users = st.sampled_from(USERS)
steps: st.SearchStrategy[Action] = st.one_of(
    st.tuples(st.just("publish"), users, st.integers(-3, 1), st.booleans()),
    st.tuples(st.just("publish"), users, st.just(0), st.booleans()),
    st.just(("open_for_scoring",)),
    st.just(("score",)),
    st.just(("land",)),
    st.just(("switch",)),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 0.2, 1, 16, 31])),
)
groups = st.lists(st.sampled_from([(1,), (2,), (1, 2), (2, 1, 2)]), min_size=1, max_size=1).map(lambda found: found[0])
inner = st.one_of(steps, st.tuples(st.just("look"), st.integers(0, 1), groups, st.just(())))
pauses = st.lists(st.lists(inner, max_size=3), max_size=8).map(tuple)
looks = st.tuples(st.just("look"), st.integers(0, 1), groups, pauses)
FIRST: list[Action] = [("publish", 1, -1, False), ("publish", 2, -1, False), ("look", 0, (1, 2), ())]
programs = st.lists(st.one_of(steps, looks, looks), min_size=1, max_size=20).map(lambda program: FIRST + program)


def run(world: Interleaved, program: list[Action]) -> list[Served]:
    """Carry a program out; give all that was served, by the lookups within others too."""
    served: list[Served] = []

    def action(step: Action) -> Callable[[], None]:
        name, *arguments = step

        def carry_out() -> None:
            if name == "look":
                client, asked, within = arguments
                if not all(user in world.rows for user in asked):
                    return
                served.append(world.look(client, asked, [list(map(action, part)) for part in within]))
            elif name == "publish":
                user, hours, is_correction = arguments
                world.publish(user, hours, is_correction=is_correction)
            else:
                getattr(world, name)(*arguments)

        return carry_out

    for step in program:
        action(step)()
    return served


def check(world: Interleaved, program: list[Action]) -> None:
    try:
        served = run(world, program)
        assert [problem for one in served for problem in judge(one)] == []
        if set(world.rows) == set(USERS):
            last = world.look(0, USERS)
            assert [str(answer.status) for answer in last.response.predictions["model_predictions"]] != []
            assert list(judge(last)) == []
    finally:
        world.close()


def at_noon() -> datetime:
    return NOW


@settings(max_examples=150)
@given(programs)
def test_in_memory(program: list[Action]) -> None:
    store = MemoryOnlineStore()
    world = Interleaved(store, at_noon)
    store._clock = world.now
    check(world, program)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("r")) as url:
        yield url


@pytest.mark.redis
@settings(max_examples=20)
@given(programs)
def test_on_redis(redis_url: str, program: list[Action]) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    check(Interleaved(RedisOnlineStore.connect(redis_url), utc_now), program)
