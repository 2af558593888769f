"""Statuses, ages, versions and round trips of lookups."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from featurestore.codec.keys import manifest_key, pointer_key
from featurestore.errors import DeadlineExceeded, EntityKeyMissing, FeatureNotFound, StateError
from featurestore.intervals import to_micros
from featurestore.ir.serialize import manifest_to_json
from featurestore.serving.client import OnlineClient
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, Clock, World, flags, user_data

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
CTR = "user_data:click_through_rate"


def test_values_that_look_alike_stay_apart() -> None:
    view = flags()
    world = World(view)
    rows: list[dict[str, Any]] = [
        {"ratio": math.nan, "visits": 0, "is_vip": False, "city": "", "tags": [], "last_seen": NOW + MICROSECOND},
        {"ratio": math.inf, "visits": 1, "is_vip": True, "city": "null", "tags": [None, ""], "last_seen": NOW},
        {"ratio": None, "visits": None, "is_vip": None, "city": None, "tags": None, "last_seen": None},
    ]
    for user_id, row in enumerate(rows):
        world.put(view, user_id, row)
    response = world.client.get_online_features(
        [f"flags:{field.name}" for field in view.features], [{"user_id": user_id} for user_id in range(3)]
    )
    answer = response.to_dict()
    assert list(answer) == ["user_id", "ratio", "visits", "is_vip", "city", "tags", "last_seen"]
    assert math.isnan(answer["ratio"][0])
    assert answer["ratio"][1:] == [math.inf, None]
    for name in ("visits", "is_vip", "city", "tags", "last_seen"):
        assert answer[name] == [row[name] for row in rows]
    assert all(statuses == ["PRESENT", "PRESENT", "NULL_VALUE"] for statuses in response.statuses.values())


def test_duplicates_unknown_and_null_keys_are_answered_in_place_in_one_round_trip() -> None:
    view, other = user_data(), flags()
    world = World(view, other)
    world.put(view, 1, {"click_through_rate": 0.1})
    world.put(view, 2, {"click_through_rate": 0.2})
    world.put(other, 2, {"visits": 7})
    world.client.get_online_features([CTR], [{"user_id": 1}])
    world.store.reads.clear()
    response = world.client.get_online_features(
        [CTR, "flags:visits"], [{"user_id": user_id} for user_id in (2, 1, None, 9, 2)]
    )
    assert response.to_dict() == {
        "user_id": [2, 1, None, 9, 2],
        "click_through_rate": [0.2, 0.1, None, None, 0.2],
        "visits": [7, None, None, None, 7],
    }
    assert response.statuses["click_through_rate"] == ["PRESENT", "PRESENT", "NOT_FOUND", "NOT_FOUND", "PRESENT"]
    assert response.event_timestamps["visits"] == [NOW, None, None, None, NOW]
    assert world.store.reads == [1 + 4 + 4]


@pytest.mark.parametrize("entity_rows", [[], {}, {"user_id": []}, {"user_id": np.array([], dtype=np.int64)}])
def test_an_empty_request_has_an_empty_answer(entity_rows: Any) -> None:
    response = World(user_data()).client.get_online_features([CTR], entity_rows)
    assert {name: list(values) for name, values in response.to_dict().items()} == {
        "user_id": [],
        "click_through_rate": [],
    }
    assert response.statuses == {"click_through_rate": []}


@pytest.mark.parametrize("column", [[1, 2], np.array([1, 2]), ["1", "2"], [1.0, np.int64(2)]])
def test_key_columns_of_any_lossless_kind_are_taken(column: Any) -> None:
    view = user_data()
    world = World(view)
    world.put(view, 2, {"click_through_rate": 0.2})
    answer = world.client.get_online_features([CTR], {"user_id": column}).to_dict()
    assert answer["click_through_rate"] == [None, 0.2]
    assert answer["user_id"] == list(column)


@pytest.mark.parametrize(
    ("entity_rows", "message"),
    [
        ([{"user_id": 1}, {"user": 2}], "entity row 1 lacks 'user_id'; found 'user'"),
        ([{"user_id": 1}, 7], "entity row 1 is int"),
        ({"user": [1]}, "lacks 'user_id'; found 'user'"),
        ({"user_id": 1}, "'user_id' of the request is int 1"),
        ([{"user_id": 1}, {"user_id": "x"}], "entity row 1"),
        ([{"user_id": 1.5}], "entity row 0"),
    ],
)
def test_a_request_without_usable_keys_says_what_is_wrong(entity_rows: Any, message: str) -> None:
    with pytest.raises(EntityKeyMissing, match=message):
        World(user_data()).client.get_online_features([CTR], entity_rows)


@pytest.mark.parametrize(
    ("age", "status", "value"),
    [(DAY, "PRESENT", 7), (DAY + MICROSECOND, "OUTSIDE_MAX_AGE", None), (-DAY, "PRESENT", 7)],
)
def test_a_plain_rows_ttl_counts_from_its_event_time_both_ends_inclusive(
    age: timedelta, status: str, value: Any
) -> None:
    view = flags(ttl=DAY)
    world = World(view)
    world.put(view, 1, {"visits": 7}, event=NOW - age)
    response = world.client.get_online_features(["flags:visits"], [{"user_id": 1}, {"user_id": 2}])
    assert response.statuses == {"visits": [status, "NOT_FOUND"]}
    assert response.to_dict()["visits"] == [value, None]
    assert response.event_timestamps == {"visits": [NOW - age, None]}
    assert response.ages == {"visits": [max(age, timedelta(0)), None]}


def test_an_expired_value_is_served_where_the_view_says_so() -> None:
    view = flags(on_expired="serve")
    world = World(view)
    world.put(view, 1, {"visits": 7}, event=NOW - 2 * DAY)
    response = world.client.get_online_features(["flags:visits", "flags:city"], [{"user_id": 1}])
    assert response.to_dict() == {"user_id": [1], "visits": [7], "city": [None]}
    assert response.statuses == {"visits": ["OUTSIDE_MAX_AGE"], "city": ["OUTSIDE_MAX_AGE"]}


@pytest.mark.parametrize(("lag", "status"), [(DAY, "PRESENT"), (DAY + MICROSECOND, "OUTSIDE_MAX_AGE")])
def test_an_aggregate_row_holds_as_far_as_the_coverage(lag: timedelta, status: str) -> None:
    view = user_data(ttl=DAY)
    world = World(view)
    world.put(view, 1, {"click_through_rate": 0.1}, event=NOW - 90 * DAY)
    world.point("user_data", covered_until_us=to_micros(NOW - lag))
    response = world.client.get_online_features([CTR], [{"user_id": 1}])
    assert response.statuses == {"click_through_rate": [status]}
    assert response.ages == {"click_through_rate": [lag]}


@pytest.mark.parametrize(
    ("ttl", "age", "status"),
    [
        (DAY, DAY, "PRESENT"),
        (DAY, DAY + MICROSECOND, "OUTSIDE_MAX_AGE"),
        (None, 7 * DAY, "PRESENT"),
        (None, 7 * DAY + MICROSECOND, "OUTSIDE_MAX_AGE"),
    ],
)
def test_an_emptied_row_expires_after_ttl_or_else_the_longest_window(
    ttl: timedelta | None, age: timedelta, status: str
) -> None:
    view = user_data(ttl=ttl)
    world = World(view)
    world.put(view, 1, {"number_of_clicks": 0}, event=NOW - age, holds=False)
    world.put(view, 2, {"number_of_clicks": 4}, event=NOW - 60 * DAY)
    response = world.client.get_online_features(["user_data:number_of_clicks"], [{"user_id": 1}, {"user_id": 2}])
    assert response.statuses == {"number_of_clicks": [status, "PRESENT"]}


def test_a_tombstone_is_not_found() -> None:
    view = flags()
    world = World(view)
    world.put(view, 1, {"visits": 7}, event=NOW - DAY)
    world.put(view, 1, {}, deleted=True)
    response = world.client.get_online_features(["flags:visits"], [{"user_id": 1}])
    assert response.statuses == {"visits": ["NOT_FOUND"]}


@pytest.mark.parametrize("entry", [{"version": None}, {"version": 0, "storage_id": 0}])
def test_a_view_that_was_never_published_is_not_found(entry: dict[str, Any]) -> None:
    view, other = user_data(), flags()
    world = World(view, other)
    world.put(other, 1, {"visits": 7})
    world.point("user_data", **entry)
    response = world.client.get_online_features([CTR, "flags:visits"], [{"user_id": 1}])
    assert response.to_dict() == {"user_id": [1], "click_through_rate": [None], "visits": [7]}
    assert response.statuses["click_through_rate"] == ["NOT_FOUND"]


def test_an_older_version_is_served_until_the_pointer_moves_and_by_pin_after() -> None:
    old, new = user_data(), user_data(version=2, storage_id=12, fingerprint="new")
    world = World(new, older=(old,))
    world.put(old, 1, {"click_through_rate": 0.1})
    world.put(new, 1, {"click_through_rate": 0.2})
    world.point("user_data", version=1, storage_id=1)
    ask = world.client.get_online_features
    assert ask([CTR], [{"user_id": 1}]).get(CTR) == [0.1]
    world.store.reads.clear()
    world.point("user_data", version=2, storage_id=12)
    assert ask([CTR], [{"user_id": 1}]).get(CTR) == [0.2]
    assert len(world.store.reads) == 2
    pinned = "user_data@1:click_through_rate"
    assert ask([pinned], [{"user_id": 1}]).get(pinned) == [0.1]


def test_coverage_that_moves_during_a_request_counts_without_another_round_trip() -> None:
    view = user_data(ttl=DAY)
    world = World(view)
    world.put(view, 1, {"click_through_rate": 0.1}, event=NOW - 9 * DAY)
    world.point("user_data", covered_until_us=to_micros(NOW - 5 * DAY))
    ask = world.client.get_online_features
    assert ask([CTR], [{"user_id": 1}]).statuses["click_through_rate"] == ["OUTSIDE_MAX_AGE"]
    world.store.reads.clear()
    world.point("user_data", covered_until_us=to_micros(NOW))
    assert ask([CTR], [{"user_id": 1}]).statuses["click_through_rate"] == ["PRESENT"]
    assert len(world.store.reads) == 1


class FlippingStore(CountingStore):
    """Switches to another pointer record between the client's look at it and the read of the rows."""

    flip_to: bytes | None = None

    def read(self, keys: Any, *, deadline: float | None = None) -> list[bytes | None]:
        if self.flip_to is not None and len(keys) > 1:
            self.put_record(pointer_key(PROJECT), self.flip_to)
            self.flip_to = None
        return super().read(keys, deadline=deadline)


def test_a_version_switch_during_a_request_is_read_again_once() -> None:
    old, new = user_data(), user_data(version=2, storage_id=12, fingerprint="new")
    store = FlippingStore(MemoryOnlineStore(clock=Clock()))
    world = World(new, older=(old,), store=store)
    world.put(old, 1, {"click_through_rate": 0.1})
    world.put(new, 1, {"click_through_rate": 0.2})
    switched = world.pointer.to_bytes()
    world.point("user_data", version=1, storage_id=1)
    store.flip_to = switched
    answer = world.client.get_online_features([CTR], [{"user_id": 1}]).to_dict()
    assert answer["click_through_rate"] == [0.2]
    assert store.reads == [1, 2, 2]


def test_a_deadline_that_passed_is_an_error() -> None:
    with pytest.raises(DeadlineExceeded):
        World(user_data()).client.get_online_features([CTR], [{"user_id": 1}], deadline=0)


def test_a_project_that_was_never_applied_is_named() -> None:
    with pytest.raises(StateError, match="knows no project 'shop'"):
        OnlineClient(MemoryOnlineStore(), "shop").get_online_features([CTR], [{"user_id": 1}])


def test_the_manifest_comes_from_the_online_store_and_a_new_one_is_noticed() -> None:
    view = user_data()
    world = World(view)
    world.put(view, 1, {"click_through_rate": 0.1})
    world.store.put_record(manifest_key(PROJECT), manifest_to_json(replace(world.manifest, generation=1)).encode())
    client = OnlineClient(world.store, PROJECT, clock=world.clock)
    assert client.get_online_features([CTR], [{"user_id": 1}])[CTR] == [0.1]
    with pytest.raises(FeatureNotFound):
        client.get_online_features(["flags:visits"], [{"user_id": 1}])
    grown = replace(world.manifest, generation=2, views={**world.manifest.views, "flags": flags()})
    world.store.put_record(manifest_key(PROJECT), manifest_to_json(grown).encode())
    world.pointer = replace(world.pointer, generation=2)
    world.point("user_data")
    assert client.get_online_features(["flags:visits"], [{"user_id": 1}])["visits"] == [None]
