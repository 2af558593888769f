"""Predictions that clients and producers write: routed to their own view, judged by the inputs at acceptance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from featurestore.errors import SchemaMismatch
from featurestore.spec.dtypes import Int64
from tests.support.serving import NOW, World, field, scores, user_data
from tests.support.serving_functions import CALLS
from tests.support.writing import problems_of, writer_on

HOUR = timedelta(hours=1)
FEATURES = {"click_through_rate": 0.4, "number_of_clicks": 3}
COLUMNS = {name: [value] for name, value in FEATURES.items()}
REFS = ["user_data:click_through_rate", "user_data:model_predictions"]


@pytest.fixture(autouse=True)
def forget_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def world_of(**overrides: Any) -> World:
    return World(user_data(), scores(on_stale="serve_stale", **overrides))


def status(world: World, user_id: int = 1) -> tuple[str, Any]:
    answer = world.client.get_online_features(REFS, [{"user_id": user_id}])
    [found] = answer.predictions["model_predictions"]
    return str(found.status), answer["model_predictions"][0]


def test_a_client_writes_its_prediction_back_and_the_next_read_is_a_hit() -> None:
    world = world_of()
    world.put(user_data(), 1, FEATURES, event=NOW - HOUR)
    assert status(world) == ("MISSING", None)
    result = writer_on(world).write("user_data", {"user_id": [1], "model_predictions": [0.93]})
    assert (result.written, list(result.views)) == (1, ["model_predictions"])
    assert status(world) == ("CACHED", 0.93)
    world.put(user_data(), 1, FEATURES, event=NOW)
    assert status(world) == ("STALE", 0.93)


def test_a_producer_writes_features_and_prediction_in_one_frame() -> None:
    world = world_of()
    result = writer_on(world).write("user_data", {"user_id": [1]} | COLUMNS | {"model_predictions": [0.5]})
    assert {name: count.written for name, count in result.views.items()} == {"user_data": 1, "model_predictions": 1}
    assert status(world) == ("CACHED", 0.5)


def test_a_prediction_over_features_older_than_the_stored_ones_is_stale() -> None:
    world = world_of()
    world.put(user_data(), 1, FEATURES, event=NOW)
    frame = {"user_id": [1], "ts": [NOW - HOUR]} | COLUMNS | {"model_predictions": [0.5]}
    result = writer_on(world).write("user_data", frame)
    assert result.views["user_data"].ignored == 1
    assert status(world) == ("STALE", 0.5)


@pytest.mark.parametrize("column", ["score", "model_predictions"])
def test_write_back_to_the_prediction_view_itself(column: str) -> None:
    world = world_of()
    world.put(user_data(), 1, FEATURES, event=NOW - HOUR)
    assert writer_on(world).write("model_predictions", {"user_id": [1], column: [0.7]}).written == 1
    assert status(world) == ("CACHED", 0.7)


def test_a_later_prediction_over_the_same_inputs_wins_and_an_earlier_one_does_not() -> None:
    world = world_of()
    world.put(user_data(), 1, FEATURES, event=NOW - HOUR)
    writer = writer_on(world)
    assert writer.write("model_predictions", {"user_id": [1], "score": [0.7]}).written == 1
    late = {"user_id": [1], "score": [0.1], "predicted_at": [NOW - HOUR]}
    assert writer.write("model_predictions", late).ignored == 1
    world.clock.now += timedelta(seconds=1)
    assert writer.write("model_predictions", {"user_id": [1], "score": [0.2]}).written == 1
    assert status(world) == ("CACHED", 0.2)


def test_a_digest_that_came_with_the_features_is_kept() -> None:
    world = world_of()
    world.put(user_data(), 1, FEATURES, event=NOW - HOUR)
    writer_on(world).write("model_predictions", {"user_id": [1], "score": [0.7], "inputs_digest": [5]})
    assert status(world) == ("STALE", 0.7)


def test_rows_without_a_prediction_are_left_out_of_it() -> None:
    world = world_of()
    frame = {"user_id": [1, 2], "click_through_rate": [0.4, 0.5], "number_of_clicks": [3, 4]}
    result = writer_on(world).write("user_data", frame | {"model_predictions": [None, 0.5]})
    assert {name: count.written for name, count in result.views.items()} == {"user_data": 2, "model_predictions": 1}
    assert status(world) == ("MISSING", None)
    with pytest.raises(SchemaMismatch, match="a prediction is null; leave the row out; 1 row: 0"):
        writer_on(world).write("model_predictions", {"user_id": [1], "score": [None]})


def test_the_output_of_an_attached_prediction_is_checked_like_a_feature() -> None:
    world = world_of()
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("user_data", {"user_id": [1]} | COLUMNS | {"model_predictions": ["high"]})
    assert list(problems_of(caught.value)) == ["model_predictions"]
    assert world.store.writes == 0


def test_a_prediction_by_request_fields_is_stored_under_them() -> None:
    view = scores(inputs=(), request=(field("slot", Int64),), attach_to=None, on_stale="serve_stale")
    world = World(view)
    writer = writer_on(world)
    with pytest.raises(SchemaMismatch, match="slot: the key column is missing"):
        writer.write("model_predictions", {"user_id": [1], "score": [0.7]})
    assert writer.write("model_predictions", {"user_id": [1, 1], "slot": [1, 2], "score": [0.7, 0.8]}).written == 2
    answer = world.client.get_online_features(["model_predictions:score"], {"user_id": [1, 1], "slot": [2, 3]})
    assert answer["score"] == [0.8, None]
    assert [str(found.status) for found in answer.predictions["model_predictions"]] == ["CACHED", "MISSING"]


def test_outputs_are_stored_as_one_value() -> None:
    world = World(user_data(), scores(attach_to=None, features=(field("score"), field("margin"))))
    with pytest.raises(SchemaMismatch) as caught:
        writer_on(world).write("model_predictions", {"user_id": [1], "score": [0.7]})
    assert problems_of(caught.value)["margin"].startswith("missing; the features of 'model_predictions'")


def test_an_unknown_column_is_told_with_the_predictions_name() -> None:
    with pytest.raises(SchemaMismatch, match="did you mean 'model_predictions'"):
        writer_on(world_of()).write("user_data", {"user_id": [1], "model_prediction": [0.5]})
