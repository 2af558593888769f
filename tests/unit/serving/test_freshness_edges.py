"""Edges of freshness: older versions, pending publications, and producers that have predictions made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from featurestore.codec.pointer import VersionRef
from featurestore.intervals import to_micros
from tests.support.serving import NOW, World, user_data
from tests.support.serving_functions import CALLS
from tests.unit.serving.test_predictions import HOUR, SCORE, USER_1, with_model, world_of


@pytest.fixture(autouse=True)
def forget_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def test_the_age_of_an_older_versions_prediction_is_its_own_whatever_was_scored_since() -> None:
    world, old = world_of(on_stale="serve_stale", stale_on=("age",))
    world.predict(old, 1, 0.9, predicted_at=NOW - 90 * HOUR)
    new = replace(old, version=2, storage_id=33, model=replace(old.model, version="2"))
    world = World(user_data(), new, older=(old,), store=world.store)
    world.point("model_predictions", covered_until_us=to_micros(NOW), warm=(VersionRef(version=1, storage_id=3),))
    response = world.client.get_online_features([SCORE], USER_1)
    assert response.predictions["model_predictions"] == [("STALE", 90 * HOUR, "1", NOW - 90 * HOUR)]


def test_a_publication_whose_scoring_is_pending_causes_no_model_call() -> None:
    world, view = world_of()
    features = user_data()
    rows = {"user_id": list(range(1, 201))}
    for user in rows["user_id"]:
        world.put(features, user, {"click_through_rate": 0.5}, event=NOW - HOUR)
        world.predict(view, user, 0.9, inputs_at=NOW - HOUR, predicted_at=NOW - HOUR)
    world.point("model_predictions", pending_since_us=to_micros(NOW))
    for user in rows["user_id"]:
        world.put(features, user, {"click_through_rate": 0.7}, event=NOW)
    answer = world.client.get_online_features([SCORE], rows)
    assert {one.status for one in answer.predictions["model_predictions"]} == {"CACHED"}
    assert (len(CALLS), world.store.claims) == (0, 0)


def test_predictions_are_made_anew_for_a_producer_whatever_the_views_policies() -> None:
    world, view = world_of(on_stale="serve_stale", refresh=("on_write",))
    world.predict(view, 1, 0.9, inputs_at=NOW - HOUR)
    world.predict(view, 2, 0.8)
    world.point("model_predictions", pending_since_us=to_micros(NOW))
    answers = world.client.infer_rows(view, {"user_id": [1, 2, 7]})
    assert [answer.status for answer in answers] == ["LIVE", "CACHED", "MISSING"]
    assert world.client.get_online_features([SCORE], USER_1)["score"] == [4.0]
    broken = World(user_data(), replace(view, model=with_model("load_broken")), store=world.store)
    broken.put(user_data(), 1, {"click_through_rate": 0.1}, event=NOW + HOUR)
    assert [answer.status for answer in broken.client.infer_rows(view, USER_1)] == ["FAILED"]
