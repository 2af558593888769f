"""A write is checked whole, routed by owner, and visible to the next lookup."""

from __future__ import annotations

import decimal
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from featurestore.codec.keys import dead_letter_key, index_key
from featurestore.errors import FeatureNotFound, SchemaMismatch, StateError
from featurestore.spec.dtypes import Decimal, Json
from featurestore.stores.base import WriteCount
from tests.support.nodes import plain_view
from tests.support.serving import NOW, World, field, flags, user_data
from tests.support.writing import problems_of, ref_of, writer_on

HOUR = timedelta(hours=1)
VALUES: dict[str, list[Any]] = {
    "ratio": [0.5],
    "visits": [3],
    "is_vip": [True],
    "city": ["Rome"],
    "tags": [["a", None]],
    "last_seen": [NOW],
}


def flag_world() -> World:
    return World(flags(ttl=timedelta(days=1)))


def lookup(world: World, *features: str, user_id: int = 1) -> dict[str, Any]:
    answer = world.client.get_online_features(list(features), [{"user_id": user_id}])
    return {name: values[0] for name, values in answer.to_dict().items() if name != "user_id"}


def test_a_written_row_is_read_by_the_next_lookup() -> None:
    world = flag_world()
    result = writer_on(world).write("flags", {"user_id": [1]} | VALUES)
    assert (result.written, result.ignored, result.dead_lettered) == (1, 0, 0)
    assert lookup(world, *(f"flags:{name}" for name in VALUES)) == {
        "ratio": 0.5,
        "visits": 3,
        "is_vip": True,
        "city": "Rome",
        "tags": ["a", None],
        "last_seen": NOW,
    }
    answer = world.client.get_online_features(["flags:city"], [{"user_id": 1}])
    assert answer.event_timestamps["city"] == [NOW]


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table, dict], ids=["pandas", "pyarrow", "dict"])
def test_frames_of_all_kinds_are_taken(make: Any) -> None:
    world = flag_world()
    columns = {"user_id": [1, 2]} | {name: values * 2 for name, values in VALUES.items()}
    assert writer_on(world).write("flags", make(columns)).written == 2
    assert lookup(world, "flags:tags", "flags:last_seen", user_id=2) == {"tags": ["a", None], "last_seen": NOW}


def test_nulls_of_pandas_are_null_but_nan_of_a_float_feature_is_a_value() -> None:
    world = World(plain_view(features=(field("a"), field("b", flags().features[1].dtype)), version=1, storage_id=1))
    frame = pd.DataFrame({"user_id": [1, 2], "a": [np.nan, 1.0], "b": [np.nan, 2.0]})
    writer_on(world).write("plain", frame)
    found = lookup(world, "plain:a", "plain:b")
    assert np.isnan(found["a"]) and found["b"] is None
    writer_on(world).write(
        "plain",
        pd.DataFrame({"user_id": [3], "a": pd.array([None], "Float64"), "b": pd.array([None], "Int64")}),
    )
    assert lookup(world, "plain:a", "plain:b", user_id=3) == {"a": None, "b": None}


def test_all_kinds_of_problems_are_told_at_once_and_nothing_is_written() -> None:
    world = flag_world()
    frame = {
        "user_id": [1, None, "x", 4, 5, 6],
        "ratio": [0.5, 0.5, 0.5, "much", 0.5, 0.5],
        "visits": [1, 1, 1, 1, 1.5, 2**70],
        "is_vip": [True, 1, True, True, True, True],
        "city": ["a"] * 6,
        "tags": [[]] * 6,
        "last_seen": [None] * 6,
        "event_timestamp": [NOW, NOW, NOW, NOW, NOW, NOW + timedelta(minutes=6)],
    }
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("flags", frame)
    text = str(caught.value)
    assert "user_id: a join key is null; a row without its key cannot be stored; 1 row: 1" in text
    assert "user_id: found 'x' (str)" in text or "found 'x' (str)" in text
    assert "ratio: found 'much' (str); valid is float64 or null; 1 row: 3" in text
    assert "visits: found 1.5 (float); valid is int64 or null; 2 rows: 4, 5" in text
    assert "is_vip: found 1 (int); valid is bool or null; 1 row: 1" in text
    assert "event_timestamp: found 2026-03-01T12:06:00Z, more than 5m (max_future_skew) ahead of now" in text
    assert world.store.writes == 0


def test_the_first_hundred_rows_of_a_kind_are_named() -> None:
    world = flag_world()
    columns = {"user_id": list(range(150))} | {name: values * 150 for name, values in VALUES.items()}
    with pytest.raises(SchemaMismatch, match=r"150 rows: 0, 1, .*, 99 and 50 more$"):
        writer_on(world).write("flags", columns | {"visits": ["many"] * 150})


def test_a_part_of_a_packed_view_is_refused_by_name() -> None:
    world = flag_world()
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("flags", {"user_id": [1], "ratio": [0.1], "visit": [3], "city": ["a"]})
    problems = problems_of(caught.value)
    assert problems["visits, is_vip, tags, last_seen"].startswith("missing; the features of 'flags' are stored as one")
    assert problems["visit"] == "'flags' has no such column: did you mean 'visits'?"


def test_columns_that_are_missing_or_of_unequal_length() -> None:
    world = flag_world()
    with pytest.raises(SchemaMismatch, match="the key column is missing; found ratio"):
        writer_on(world).write("flags", dict(VALUES))
    with pytest.raises(SchemaMismatch, match="user_id has 2, ratio has 1"):
        writer_on(world).write("flags", {"user_id": [1, 2], "ratio": [1.0]})
    with pytest.raises(SchemaMismatch, match="there is nothing to write"):
        writer_on(world).write("flags", {"user_id": [1]})
    with pytest.raises(SchemaMismatch, match="found int; valid is a pandas or pyarrow table"):
        writer_on(world).write("flags", 3)
    with pytest.raises(SchemaMismatch, match="give a list or array"):
        writer_on(world).write("flags", {"user_id": 1})


def test_an_empty_frame_writes_nothing() -> None:
    world = flag_world()
    result = writer_on(world).write("flags", {"user_id": []} | {name: [] for name in VALUES})
    assert (result.written, result.ignored, world.store.writes) == (0, 0, 0)


def test_unknown_views_and_projects() -> None:
    world = flag_world()
    with pytest.raises(FeatureNotFound, match="no view 'flag'"):
        writer_on(world).write("flag", {})
    world.point("flags", version=None)
    with pytest.raises(FeatureNotFound, match="not served online"):
        writer_on(world).write("flags", {})
    world.store.delete([b"featurestore:pointer:shop"])
    with pytest.raises(StateError, match="run `featurestore apply`"):
        writer_on(world).write("flags", {})


def test_the_newest_of_several_rows_of_a_key_is_written_and_the_rest_ignored() -> None:
    world = flag_world()
    columns = {"user_id": [1, 1, 1]} | {name: values * 3 for name, values in VALUES.items()}
    columns |= {"visits": [1, 2, 3], "event_timestamp": [NOW - HOUR, NOW, NOW - 2 * HOUR]}
    result = writer_on(world).write("flags", columns)
    assert (result.written, result.ignored) == (1, 2)
    assert lookup(world, "flags:visits") == {"visits": 2}
    assert writer_on(world).write("flags", columns | {"created_timestamp": [NOW] * 3}).written == 0


def test_older_rows_and_replays_are_ignored() -> None:
    world = flag_world()
    writer = writer_on(world)
    times = {"event_timestamp": [NOW], "created_timestamp": [NOW]}
    assert writer.write("flags", {"user_id": [1]} | VALUES | times).written == 1
    assert writer.write("flags", {"user_id": [1]} | VALUES | times).ignored == 1
    older = VALUES | {"visits": [9], "event_timestamp": [NOW - HOUR]}
    assert writer.write("flags", {"user_id": [1]} | older).ignored == 1
    assert lookup(world, "flags:visits") == {"visits": 3}


def test_time_columns_are_named_as_in_the_source() -> None:
    world = flag_world()  # its source's times are in "ts"
    writer_on(world).write("flags", {"user_id": [1], "ts": [NOW - HOUR]} | VALUES)
    answer = world.client.get_online_features(["flags:city"], [{"user_id": 1}])
    assert answer.event_timestamps["city"] == [NOW - HOUR]


def test_a_row_past_its_ttl_answers_outside_max_age() -> None:
    world = flag_world()
    writer_on(world).write("flags", {"user_id": [1], "ts": [NOW - timedelta(days=2)]} | VALUES)
    answer = world.client.get_online_features(["flags:city"], [{"user_id": 1}])
    assert answer.statuses["city"] == ["OUTSIDE_MAX_AGE"]


def test_invalid_rows_are_set_aside_when_asked() -> None:
    world = flag_world()
    columns = {"user_id": [1, None, 3]} | {name: values * 3 for name, values in VALUES.items()}
    result = writer_on(world).write("flags", columns | {"visits": [1, 2, "x"]}, on_invalid="dead_letter")
    assert (result.written, result.ignored, result.dead_lettered) == (1, 0, 2)
    letters = [json.loads(entry) for entry in world.store.entries(dead_letter_key("shop"), last=10)]
    assert [letter["row"]["user_id"] for letter in letters] == [3, None]
    assert letters[0]["problems"] == ["visits: found 'x' (str); valid is int64 or null"]
    with pytest.raises(SchemaMismatch):
        writer_on(world).write("flags", {"user_id": [1]}, on_invalid="dead_letter")
    with pytest.raises(ValueError, match="valid are 'raise' and 'dead_letter'"):
        writer_on(world).write("flags", {"user_id": [1]} | VALUES, on_invalid="skip")  # type: ignore[arg-type]


def test_json_is_read_and_decimals_are_held_to_their_digits() -> None:
    world = World(plain_view(features=(field("doc", Json), field("price", Decimal(5, 2))), version=1, storage_id=1))
    writer = writer_on(world)
    good = {"user_id": [1], "doc": ['{"a": 1}'], "price": [decimal.Decimal("1.5")]}
    assert writer.write("plain", good).written == 1
    assert lookup(world, "plain:price") == {"price": decimal.Decimal("1.50")}
    with pytest.raises(SchemaMismatch) as caught:
        writer.write("plain", good | {"doc": ["{"], "price": [decimal.Decimal("1.234")]})
    assert sorted(problems_of(caught.value)) == ["doc", "price"]


def test_keys_that_were_written_are_indexed() -> None:
    world = flag_world()
    writer_on(world).write("flags", {"user_id": [1]} | VALUES)
    [[key]] = list(world.store.members(index_key(1, 2)))
    assert world.store.read([key])[0] is not None


def test_finished_values_of_an_aggregate_hold_unless_they_are_empty() -> None:
    world = World(user_data(ttl=timedelta(hours=1)))
    columns = {"user_id": [1, 2], "click_through_rate": [0.5, None], "number_of_clicks": [2, 0]}
    writer_on(world).write("user_data", columns | {"ts": [NOW - 2 * HOUR] * 2})
    answer = world.client.get_online_features(["user_data:number_of_clicks"], {"user_id": [1, 2]})
    assert answer.statuses["number_of_clicks"] == ["PRESENT", "OUTSIDE_MAX_AGE"]


def test_rows_go_to_every_live_version_that_can_take_them() -> None:
    old = flags(version=1, storage_id=2)
    new = flags(version=2, storage_id=5, features=flags().features[:3])
    other = flags(version=3, storage_id=6, features=(*flags().features, field("extra")))
    world = World(other, older=(old, new))
    world.point("flags", version=1, storage_id=2, warm=(ref_of(new),), building=ref_of(other))
    result = writer_on(world, older=(old, new)).write("flags", {"user_id": [1]} | VALUES)
    assert result.views == {"flags": WriteCount(written=1, bytes_sent=result.views["flags"].bytes_sent)}
    assert result.skipped == {"flags@3": "the frame lacks extra"}
    assert lookup(world, "flags@2:ratio") == {"ratio": 0.5}
    with_extra = {"user_id": [1], "extra": [1.0], "ts": [NOW]} | VALUES
    assert writer_on(world, older=(old, new)).write("flags", with_extra).skipped == {}
    assert lookup(world, "flags@3:extra") == {"extra": 1.0}
