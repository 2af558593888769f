"""A real model server: what it gives, and what becomes of a lookup when it is slow, wrong, down or killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import ModelNode, ModelOutputNode, ModelServerNode
from featurestore.models.local import LocalModels
from tests.support.model_server import ModelServer, free_port, running_model_server
from tests.support.serving import NOW, World, scores, user_data

SCORE = "model_predictions:score"
RATES = {"click_through_rate": np.array([0.25, 0.5])}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with running_model_server() as server:
        yield server


def model_at(url: str, name: str = "right", *, seconds: float = 10.0, **overrides: Any) -> ModelNode:
    values: dict[str, Any] = {
        "url": url,
        "timeout": timedelta(seconds=seconds),
        "inputs": (("click_through_rate", "click_through_rate"),),
        "outputs": (ModelOutputNode(feature="score"),),
    }
    return ModelNode(name=name, version="3", load=ModelServerNode(**(values | overrides)))


def shop_with(model: ModelNode, **overrides: Any) -> World:
    """Have users 1 and 2 with features, user 1 with a prediction that is stale."""
    features, view = user_data(), replace(scores(**overrides), model=model)
    world = World(features, view)
    world.point("model_predictions", covered_until_us=None)
    for user in (1, 2):
        world.put(features, user, {"click_through_rate": user / 4, "number_of_clicks": user})
    world.predict(view, 1, 0.9, predicted_at=NOW - timedelta(hours=31))
    return world


def ask(world: World, deadline: float = 5.0) -> tuple[list[float | None], list[str]]:
    response = world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}], deadline=deadline)
    return response["score"], [str(answer.status) for answer in response.predictions["model_predictions"]]


def test_a_call_is_one_request_in_the_open_inference_protocol(server: ModelServer) -> None:
    inputs = (("click_through_rate", "rate"), ("seen", "seen"), ("clicks", "clicks"), ("city", "city"), ("vip", "vip"))
    seen = np.ma.MaskedArray(np.array([datetime(2026, 1, 1), datetime(1970, 1, 1)], "datetime64[us]"), [False, True])
    arrays = {
        "rate": np.array([0.25, np.nan]),
        "seen": seen,
        "clicks": np.array([3, 4]),
        "city": np.ma.MaskedArray(np.array(["Oslo", None], object), [False, True]),
        "vip": np.array([True, False]),
    }
    before = len(server.calls())
    LocalModels().predict(model_at(server.url, "nan", inputs=inputs), arrays)
    [call] = server.calls()[before:]
    assert (call["name"], call["version"]) == ("nan", "3")
    assert call["body"]["inputs"] == [
        {"name": "click_through_rate", "shape": [2, 1], "datatype": "FP64", "data": [0.25, None]},
        {"name": "seen", "shape": [2, 1], "datatype": "INT64", "data": [1767225600000000, None]},
        {"name": "clicks", "shape": [2, 1], "datatype": "INT64", "data": [3, 4]},
        {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["Oslo", None]},
        {"name": "vip", "shape": [2, 1], "datatype": "BOOL", "data": [True, False]},
    ]


def test_threads_share_connections_that_are_kept(server: ModelServer) -> None:
    models, model = LocalModels(), model_at(server.url)
    for _ in range(5):
        assert models.predict(model, RATES)["score"].tolist() == [2.5, 5.0]
    assert len({call["from"] for call in server.calls()[-5:]}) == 1


def test_an_output_of_another_name_and_type_is_taken_where_the_model_has_only_one(server: ModelServer) -> None:
    found = LocalModels().predict(model_at(server.url, "unnamed"), RATES)
    assert found["score"].tolist() == [2.5, 5.0]
    named = model_at(server.url, "unnamed", outputs=(ModelOutputNode(feature="score", name="predict"),))
    assert LocalModels().predict(named, RATES)["score"].tolist() == [2.5, 5.0]


def test_lookups_are_repaired_by_the_server_in_one_request_and_then_cached(server: ModelServer) -> None:
    world = shop_with(model_at(server.url))
    before = len(server.calls())
    assert ask(world) == ([2.5, 5.0], ["LIVE", "LIVE"])
    assert ask(world) == ([2.5, 5.0], ["CACHED", "CACHED"])
    assert len(server.calls()) == before + 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "answered 500: the GPU is on fire"),
        ("short", r"gives output 'score' with shape \[1\] and 1 values; valid is one row for each of the 2 rows"),
        ("lying", r"gives output 'score' with shape \[2, 2\] and 2 values"),
        ("nan", "gave NaN for 2 of 2 rows"),
        ("text", "gives output 'score' with data that is not FP64"),
        ("other_version", "answered for model_version '999'; asked was '3'"),
        ("html", "answered <html>It works!</html>; valid is JSON with a list of outputs"),
    ],
)
def test_what_a_server_does_wrong_is_told_and_nothing_is_cached(server: ModelServer, name: str, message: str) -> None:
    world = shop_with(model_at(server.url, name), on_failure="error")
    with pytest.raises(InferenceFailed, match=message) as raised:
        ask(world)
    assert f"model '{name}' version '3' ({server.url})" in str(raised.value)
    assert ask(shop_with_same_rows(world, name, server)) == ([0.9, None], ["STALE", "FAILED"])


def shop_with_same_rows(world: World, name: str, server: ModelServer) -> World:
    """Look again with ``serve_stale``: whatever the failure left in the store is seen."""
    view = replace(scores(on_failure="serve_stale"), model=model_at(server.url, name))
    again = World(user_data(), view, store=world.store)
    again.point("model_predictions", covered_until_us=None)
    return again


@pytest.mark.parametrize("name", ["slow", "dribbling"])
def test_the_timeout_bounds_the_whole_call_however_slowly_it_is_answered(server: ModelServer, name: str) -> None:
    began = time.monotonic()
    with pytest.raises(InferenceFailed, match=r"gave no answer within its timeout of 0\.3 s"):
        LocalModels().predict(model_at(server.url, name, seconds=0.3), RATES)
    assert time.monotonic() - began < 2


def test_a_lookup_waits_no_longer_than_its_deadline_and_the_late_answer_is_cached(server: ModelServer) -> None:
    world = shop_with(model_at(server.url, "slow"))
    assert ask(world, deadline=0.2) == ([0.9, None], ["STALE", "FAILED"])
    world.client.close()
    assert ask(world) == ([2.5, 5.0], ["CACHED", "CACHED"])


def test_a_server_that_is_not_up_yet_is_tried_again_until_the_timeout() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(InferenceFailed, match=r"cannot be reached within its timeout of 0\.3 s: .*refused"):
        LocalModels().predict(model_at(f"http://127.0.0.1:{port}", seconds=0.3), RATES)
    assert time.monotonic() - began < 2
    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(LocalModels().predict(model_at(f"http://127.0.0.1:{port}", seconds=30), RATES))
    )
    waiting.start()
    with running_model_server(port):
        waiting.join(30)
    assert found[0]["score"].tolist() == [2.5, 5.0]


def test_a_server_killed_in_the_middle_is_a_failure_and_one_that_comes_back_is_used_again() -> None:
    with running_model_server() as server:
        world = shop_with(model_at(server.url, "slow"))
        threading.Timer(0.3, server.kill).start()
        assert ask(world) == ([0.9, None], ["STALE", "FAILED"])
    world.clock.now += timedelta(seconds=6)
    with running_model_server(server.port):
        assert ask(world) == ([2.5, 5.0], ["LIVE", "LIVE"])
