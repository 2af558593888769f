"""Answers in every form, with values that must stay apart."""

from __future__ import annotations

import math
import pickle
from datetime import date, timedelta
from decimal import Decimal as Number

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from featurestore.serving.response import OnlineResponse
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    Float32,
    Int32,
    Int64,
    Map,
    String,
    Timestamp,
)
from tests.support.rows import same
from tests.support.serving import NOW, World, field, flags, scores, user_data

USERS = [{"user_id": 1}, {"user_id": 2}]


def respond() -> OnlineResponse:
    view, other = user_data(), flags()
    world = World(view, other)
    world.put(view, 1, {"click_through_rate": 0.4, "number_of_clicks": 3}, event=NOW - timedelta(hours=1))
    world.put(other, 1, {"tags": ["a"], "is_vip": True, "last_seen": NOW})
    features = [
        "user_data:click_through_rate",
        "user_data:number_of_clicks",
        "flags:tags",
        "flags:is_vip",
        "flags:city",
    ]
    return world.client.get_online_features([*features, "flags:last_seen"], USERS)


def test_the_dict_has_feasts_shape_and_takes_references() -> None:
    answer = respond().to_dict()
    assert answer == {
        "user_id": [1, 2],
        "click_through_rate": [0.4, None],
        "number_of_clicks": [3, None],
        "tags": [["a"], None],
        "is_vip": [True, None],
        "city": [None, None],
        "last_seen": [NOW, None],
    }
    assert answer["user_data:click_through_rate"] == answer.get("click_through_rate") == [0.4, None]
    assert answer["flags:city"] == [None, None]
    assert answer.get("flags:city") is None
    assert "flags:city" in answer
    assert answer.get("flags:country", 7) == 7
    assert pickle.loads(pickle.dumps(answer)).get("flags:tags") == [["a"], None]


def test_event_timestamps_come_beside_the_values() -> None:
    answer = respond().to_dict(include_event_timestamps=True)
    assert answer["click_through_rate__ts"] == [NOW - timedelta(hours=1), None]
    assert answer["tags__ts"] == [NOW, None]


def test_arrow_numpy_and_pandas_keep_types_and_nulls() -> None:
    response = respond()
    table = response.to_arrow()
    assert table.schema.field("number_of_clicks").type == pa.int64()
    assert table.schema.field("last_seen").type == pa.timestamp("us", "UTC")
    assert table.to_pylist()[0]["tags"] == ["a"]
    arrays = response.to_numpy()
    assert arrays["number_of_clicks"].dtype == np.float64
    assert np.isnan(arrays["number_of_clicks"][1])
    assert np.ma.getmaskarray(arrays["last_seen"]).tolist() == [False, True]
    frame = response.to_df()
    assert str(frame["number_of_clicks"].dtype) == "Int64"
    assert frame["click_through_rate"].tolist()[0] == 0.4


def test_the_snippets_of_client_side_inference() -> None:
    view, predictions = user_data(), scores(on_stale="null")
    world = World(view, predictions)
    world.put(view, 1, {"click_through_rate": 0.4, "number_of_clicks": 3})
    features = ["user_data:click_through_rate", "user_data:number_of_clicks", "user_data:model_predictions"]
    answer = world.client.get_online_features(features, USERS[:1])
    assert answer.to_dict().get("user_data:model_predictions") is None
    assert answer["user_data:click_through_rate"] == [0.4]
    world.predict(predictions, 1, 0.93)
    answer = world.client.get_online_features(features[2:], USERS[:1])
    assert answer.to_dict() == {"user_id": [1], "model_predictions": [0.93]}
    assert answer.get("user_data:model_predictions") == [0.93]


def test_every_type_is_the_same_value_in_every_form() -> None:
    fields = (
        field("real"),
        field("single", Float32),
        field("whole", Int64),
        field("short", Int32),
        field("flag", Bool),
        field("text", String),
        field("raw", Bytes),
        field("instant", Timestamp),
        field("day", Date),
        field("price", Decimal(30, 2)),
        field("maps", Array(Map(String, Map(Int64, Timestamp)))),
    )
    view = flags(features=fields)
    world = World(view)
    full = {
        "real": math.nan,
        "single": 1.5,
        "whole": 2**63 - 1,
        "short": -7,
        "flag": False,
        "text": "",
        "raw": b"\0",
        "instant": NOW + timedelta(microseconds=1),
        "day": date(2026, 1, 1),
        "price": Number("1.10"),
        "maps": [{"a": {1: NOW}}, None, {}],
    }
    table = {"maps": [[[("a", [(1, NOW)])], None, []]]}
    world.put(view, 1, {**full, **{name: values[0] for name, values in table.items()}})
    world.put(view, 2, {})
    response = world.client.get_online_features(
        [f"flags:{f.name}" for f in fields], [{"user_id": u} for u in (1, 2, 3)]
    )
    answer, arrow, frame = response.to_dict(), response.to_arrow(), response.to_df()
    for name, value in full.items():
        assert same(answer[name], [value, None, None])
        nulls = arrow[name].is_null().to_pylist()
        assert nulls == [False, True, True], name
        found = arrow[name].to_pylist()[0]
        assert same([found], [value if name != "maps" else table["maps"][0]])
        assert frame[name].isna().tolist() == [name == "real", True, True], name
        first = frame[name].tolist()[0]
        assert same([first.to_pydatetime() if name == "instant" else first], [value]), name
    assert [str(frame[name].dtype) for name in ("real", "single", "whole", "short", "flag", "instant", "text")] == [
        "float64",
        "float32",
        "Int64",
        "Int32",
        "boolean",
        "datetime64[us, UTC]",
        "object",
    ]


@pytest.mark.parametrize("dtype", ["int64", "int32", "Int64"])
def test_series_are_taken_as_keys(dtype: str) -> None:
    view = user_data()
    world = World(view)
    world.put(view, 1, {"number_of_clicks": 3})
    users = pd.Series([2, 1], dtype=dtype, index=[5, 4])
    answer = world.client.get_online_features(["user_data:number_of_clicks"], {"user_id": users}).to_dict()
    assert answer == {"user_id": [2, 1], "number_of_clicks": [None, 3]}
