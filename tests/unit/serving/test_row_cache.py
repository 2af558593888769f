"""The optional cache: bounded in age and size, of one pointer record, and counted in round trips."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from featurestore.codec.pointer import VersionRef
from featurestore.intervals import to_micros
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.row_cache import CacheOptions, RowCache
from tests.support.serving import NOW, PROJECT, World, flags, scores, user_data
from tests.support.serving_functions import CALLS

SECOND = timedelta(seconds=1)
CTR, VISITS, SCORE = "user_data:click_through_rate", "flags:visits", "model_predictions:score"


def cached_world(*views: Any, older: tuple[Any, ...] = (), max_age: timedelta = 10 * SECOND) -> tuple[World, Any]:
    """Have two users' rows, and a client whose cache is warm for nothing but the plan."""
    world = World(*(views or (user_data(), flags())), older=older)
    world.put(user_data(), 1, {"click_through_rate": 0.1})
    world.put(user_data(), 2, {"click_through_rate": 0.2})
    world.put(flags(), 1, {"visits": 7})
    client = OnlineClient(
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest, older),
        clock=world.clock,
        cache=CacheOptions(max_age=max_age),
    )
    client.get_online_features([CTR], [{"user_id": 99}])
    world.store.reads.clear()
    return world, client.get_online_features


def rows(*users: int) -> list[dict[str, int]]:
    return [{"user_id": user_id} for user_id in users]


def test_a_hit_takes_no_round_trip_and_a_miss_reads_only_what_is_missing() -> None:
    world, ask = cached_world()
    assert ask([CTR], rows(1, 2, 1))[CTR] == [0.1, 0.2, 0.1]
    assert ask([CTR], rows(2, 1))[CTR] == [0.2, 0.1]
    assert world.store.reads == [3]
    assert ask([CTR, VISITS], rows(1, 2))[VISITS] == [7, None]
    assert world.store.reads == [3, 1 + 2], "the pointer, and the two rows of the other view"
    assert ask([CTR, VISITS], rows(1, 2, 9))[CTR] == [0.1, 0.2, None]
    assert ask([CTR, VISITS], rows(9)).statuses == {"click_through_rate": ["NOT_FOUND"], "visits": ["NOT_FOUND"]}
    assert world.store.reads == [3, 3, 3], "absent rows are held too"


def test_what_is_older_than_the_bound_is_read_again_and_ages_grow_meanwhile() -> None:
    world, ask = cached_world()
    ask([CTR, VISITS], rows(1))
    world.put(user_data(), 1, {"click_through_rate": 0.9}, event=NOW + SECOND)
    world.clock.now = NOW + 10 * SECOND
    held = ask([CTR, VISITS], rows(1))
    assert (held[CTR], len(world.store.reads)) == ([0.1], 1)
    assert held.ages["visits"] == [10 * SECOND]
    world.clock.now += timedelta(microseconds=1)
    assert ask([CTR, VISITS], rows(1))[CTR] == [0.9]
    assert world.store.reads == [3, 3]


@pytest.mark.parametrize("max_cached_age", [0, timedelta(0)])
def test_a_call_may_ask_for_what_is_there_now(max_cached_age: Any) -> None:
    world, ask = cached_world()
    ask([CTR], rows(1))
    world.put(user_data(), 1, {"click_through_rate": 0.9}, event=NOW + SECOND)
    assert ask([CTR], rows(1), max_cached_age=max_cached_age)[CTR] == [0.9]
    assert ask([CTR], rows(1))[CTR] == [0.9], "no later call sees an older value"
    assert len(world.store.reads) == 2


def test_the_cache_is_off_unless_asked_for_and_a_call_may_ask() -> None:
    world, ask = cached_world(max_age=timedelta(0))
    for _ in range(2):
        ask([CTR], rows(1))
    assert len(world.store.reads) == 2
    for _ in range(3):
        ask([CTR], rows(1), max_cached_age=5)
    assert len(world.store.reads) == 3


def test_a_publication_that_is_seen_empties_the_cache() -> None:
    view = user_data(ttl=timedelta(days=1))
    world, ask = cached_world(view, flags())
    ask([CTR], rows(1))
    world.point("user_data", covered_until_us=to_micros(NOW + timedelta(hours=1)))
    world.put(view, 1, {"click_through_rate": 0.5}, event=NOW + SECOND)
    assert ask([CTR], rows(1))[CTR] == [0.1], "not seen yet"
    assert ask([CTR], rows(1, 2))[CTR] == [0.5, 0.2], "the pointer came with the other row"
    assert world.store.reads == [2, 2, 3]


def test_a_version_switch_that_is_seen_gives_rows_of_the_new_version_alone() -> None:
    old, new = user_data(), user_data(version=2, storage_id=12, fingerprint="new")
    world = World(new, older=(old,))
    for view, value in ((old, 0.1), (new, 0.2)):
        for user_id in (1, 2):
            world.put(view, user_id, {"click_through_rate": value})
    world.point("user_data", version=1, storage_id=1, warm=(VersionRef(version=2, storage_id=12),))
    client = OnlineClient(
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest, (old,)),
        clock=world.clock,
        cache=CacheOptions(max_age=10 * SECOND),
    )
    assert client.get_online_features([CTR], rows(1))[CTR] == [0.1]
    world.point("user_data", version=2, storage_id=12)
    assert client.get_online_features([CTR], rows(1, 2))[CTR] == [0.2, 0.2]


def test_stale_predictions_are_read_again_before_they_are_called_stale() -> None:
    CALLS.clear()
    view, predictions = user_data(), scores(on_stale="infer")
    world, ask = cached_world(view, flags(), predictions)
    world.point("model_predictions", covered_until_us=None)
    world.predict(predictions, 1, 0.9, predicted_at=NOW - timedelta(hours=30))
    assert ask([SCORE], rows(1))[SCORE] == [0.9]
    world.predict(predictions, 1, 0.8, predicted_at=NOW)
    world.clock.now = NOW + SECOND
    response = ask([SCORE], rows(1))
    assert response[SCORE] == [0.8]
    assert response.predictions["model_predictions"][0].status == "CACHED"
    assert CALLS == []


def test_a_prediction_made_in_a_call_is_the_next_calls_answer() -> None:
    CALLS.clear()
    world, ask = cached_world(user_data(), flags(), scores())
    assert [ask([SCORE], rows(2)).predictions["model_predictions"][0].status for _ in range(3)] == [
        "LIVE",
        "CACHED",
        "CACHED",
    ]
    assert len(CALLS) == 1
    before = len(world.store.reads)
    ask([SCORE], rows(2))
    assert len(world.store.reads) == before


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    cache = RowCache(max_rows=3)
    for number in range(5):
        cache.put(b"record", [b"%d" % number], [b"value"], now_us=number)
    assert len(cache) == 3
    assert set(cache.find(b"record", [b"%d" % n for n in range(5)], now_us=5, max_age=SECOND)) == {b"2", b"3", b"4"}
    cache.put(b"record", [b"2"], [b"again"], now_us=6)
    cache.put(b"record", [b"5"], [None], now_us=7)
    assert set(cache.find(b"record", [b"2", b"3", b"4", b"5"], now_us=7, max_age=SECOND)) == {b"2", b"4", b"5"}


def test_a_clock_that_went_back_makes_nothing_younger() -> None:
    cache = RowCache(max_rows=3)
    cache.put(b"record", [b"k"], [b"v"], now_us=1_000_000)
    assert cache.find(b"record", [b"k"], now_us=999_999, max_age=SECOND) == {}
    assert not cache.is_confirmed(now_us=999_999, max_age=SECOND)


def test_another_record_is_another_cache() -> None:
    cache = RowCache(max_rows=3)
    cache.put(b"one", [b"k"], [b"v"], now_us=0)
    assert cache.find(b"two", [b"k"], now_us=0, max_age=SECOND) == {}
    cache.put(b"two", [], [], now_us=0)
    assert len(cache) == 0
    assert replace(CacheOptions(), max_rows=1).max_age == timedelta(0)
