"""Answers in every form, with values that must stay apart."""

from __future__ import annotations

import pickle
from datetime import timedelta

import numpy as np
import pyarrow as pa

from featurestore.serving.response import OnlineResponse
from tests.support.serving import NOW, World, flags, scores, user_data

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
