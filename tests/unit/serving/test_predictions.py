"""Cached predictions: freshness by its three rules, and every policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from featurestore.errors import InferenceFailed, OnlineStoreUnavailable, StalePrediction
from featurestore.intervals import to_micros
from featurestore.ir.nodes import CodeRef, ModelNode, PredictionViewNode
from featurestore.spec.dtypes import Int64
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.counting_store import CountingLocks, CountingStore
from tests.support.serving import NOW, Clock, World, field, ref, scores, user_data
from tests.support.serving_functions import CALLS

SCORE = "model_predictions:score"
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
USER_1 = [{"user_id": 1}]


@pytest.fixture(autouse=True)
def forget_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def world_of(**overrides: Any) -> tuple[World, PredictionViewNode]:
    """Have features for users 1 and 2, both of now; coverage of the scoring ends long ago."""
    features, view = user_data(), scores(**overrides)
    world = World(features, view)
    world.put(features, 1, {"click_through_rate": 0.4, "number_of_clicks": 3})
    world.put(features, 2, {"click_through_rate": 0.7, "number_of_clicks": 9})
    world.point("model_predictions", covered_until_us=None)
    return world, view


def with_model(view: str) -> ModelNode:
    return ModelNode(name="m", version="1", load=CodeRef(path=f"tests.support.serving_functions:{view}", digest=""))


def test_a_fresh_prediction_is_served_from_the_cache_in_one_round_trip() -> None:
    world, view = world_of()
    world.predict(view, 1, 0.93, predicted_at=NOW - HOUR)
    world.client.get_online_features([SCORE], USER_1)
    world.store.reads.clear()
    response = world.client.get_online_features([SCORE], USER_1)
    assert response.to_dict() == {"user_id": [1], "score": [0.93]}
    assert response.predictions == {"model_predictions": [("CACHED", HOUR, "1", NOW - HOUR)]}
    assert response.statuses == {"score": ["PRESENT"]}
    assert world.store.reads == [3]
    assert CALLS == []


@pytest.mark.parametrize(
    ("predicted", "scored", "status"),
    [
        (30 * HOUR, None, "CACHED"),
        (30 * HOUR + MICROSECOND, None, "STALE"),
        (90 * HOUR, 30 * HOUR, "CACHED"),
        (90 * HOUR, 31 * HOUR, "STALE"),
        (HOUR, 90 * HOUR, "CACHED"),
    ],
)
def test_age_counts_from_the_later_of_prediction_and_last_scoring(
    predicted: timedelta, scored: timedelta | None, status: str
) -> None:
    world, view = world_of(on_stale="serve_stale")
    world.predict(view, 1, 0.9, predicted_at=NOW - predicted)
    world.point("model_predictions", covered_until_us=None if scored is None else to_micros(NOW - scored))
    response = world.client.get_online_features([SCORE], USER_1)
    assert response["score"] == [0.9]
    assert response.predictions["model_predictions"][0].status == status


def test_a_changed_input_makes_stale_and_a_scoring_step_does_not_hide_it() -> None:
    world, view = world_of(on_stale="serve_stale")
    world.predict(view, 1, 0.9, inputs_at=NOW - HOUR, predicted_at=NOW)
    world.point("model_predictions", covered_until_us=to_micros(NOW))
    answer = world.client.get_online_features([SCORE], USER_1)
    assert answer.predictions["model_predictions"] == [("STALE", timedelta(0), "1", NOW)]
    assert answer.statuses == {"score": ["OUTSIDE_MAX_AGE"]}
    assert answer.event_timestamps == {"score": [NOW - HOUR]}


@pytest.mark.parametrize(("waits", "status"), [(15, "CACHED"), (16, "STALE")])
def test_inputs_whose_scoring_is_pending_make_nothing_stale_within_the_grace(waits: int, status: str) -> None:
    world, view = world_of(on_stale="serve_stale", input_grace=timedelta(minutes=15))
    world.predict(view, 1, 0.9, inputs_at=NOW - HOUR, predicted_at=NOW - HOUR)
    world.point("model_predictions", pending_since_us=to_micros(NOW - timedelta(minutes=waits)))
    assert world.client.get_online_features([SCORE], USER_1).predictions["model_predictions"][0].status == status


@pytest.mark.parametrize(
    ("stale_on", "status"), [((), "CACHED"), (("version",), "CACHED"), (("age",), "STALE"), (("inputs",), "STALE")]
)
def test_stale_on_switches_each_rule(stale_on: tuple[str, ...], status: str) -> None:
    world, view = world_of(on_stale="serve_stale", stale_on=stale_on)
    world.predict(view, 1, 0.9, inputs_at=NOW - 90 * HOUR, predicted_at=NOW - 90 * HOUR)
    assert world.client.get_online_features([SCORE], USER_1).predictions["model_predictions"][0].status == status


def test_missing_is_inferred_once_written_back_and_then_a_hit() -> None:
    world, _ = world_of()
    rows = [{"user_id": user_id} for user_id in (1, 2, 1, 7, None)]
    response = world.client.get_online_features([SCORE, "user_data:click_through_rate"], rows)
    assert response["score"][:3] == pytest.approx([4.0, 7.0, 4.0])
    assert response["score"][3:] == [None, None]
    statuses = [answer.status for answer in response.predictions["model_predictions"]]
    assert statuses == ["LIVE", "LIVE", "LIVE", "MISSING", "MISSING"]
    assert response.predictions["model_predictions"][0] == ("LIVE", timedelta(0), "1", NOW)
    assert len(CALLS) == 1
    assert CALLS[0]["click_through_rate"].tolist() == [0.4, 0.7]
    again = world.client.get_online_features([SCORE], rows[:3])
    assert [answer.status for answer in again.predictions["model_predictions"]] == ["CACHED"] * 3
    assert again["score"] == response["score"][:3]
    assert len(CALLS) == 1


def test_stale_is_inferred_once_and_then_a_hit() -> None:
    world, view = world_of()
    world.predict(view, 1, 0.9, predicted_at=NOW - 31 * HOUR)
    world.predict(view, 2, 0.8)
    response = world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])
    assert response["score"] == [4.0, 0.8]
    assert [answer.status for answer in response.predictions["model_predictions"]] == ["LIVE", "CACHED"]
    assert len(CALLS[0]["click_through_rate"]) == 1
    assert world.client.get_online_features([SCORE], USER_1).predictions["model_predictions"][0].status == "CACHED"
    assert (len(CALLS), world.store.writes) == (1, 5)


def test_without_repair_stale_is_served_as_stale() -> None:
    world, view = world_of()
    world.predict(view, 1, 0.9, predicted_at=NOW - 31 * HOUR)
    response = world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}], repair=False)
    assert response["score"] == [0.9, None]
    assert [answer.status for answer in response.predictions["model_predictions"]] == ["STALE", "MISSING"]
    assert CALLS == []


def test_null_withholds_what_is_stale() -> None:
    world, view = world_of(on_stale="null")
    world.predict(view, 1, 0.9, predicted_at=NOW - 31 * HOUR)
    response = world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])
    assert response["score"] == [None, None]
    assert [answer.status for answer in response.predictions["model_predictions"]] == ["STALE", "MISSING"]
    assert response.get(SCORE) is None


def test_error_names_the_rows() -> None:
    world, view = world_of(on_stale="error")
    world.predict(view, 1, 0.9)
    assert world.client.get_online_features([SCORE], [*USER_1, {"user_id": None}])["score"] == [0.9, None]
    with pytest.raises(
        StalePrediction, match=r"of 2 entity rows 0 are stale and 1 have no prediction, such as .* row 1"
    ):
        world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])


@pytest.mark.parametrize("model", ["load_broken", "load_wrong", "load_absent"])
@pytest.mark.parametrize(
    ("on_failure", "values", "statuses"),
    [("serve_stale", [0.9, None], ["STALE", "FAILED"]), ("null", [None, None], ["FAILED", "FAILED"])],
)
def test_a_failed_inference_follows_on_failure(
    model: str, on_failure: str, values: list[float | None], statuses: list[str]
) -> None:
    world, view = world_of(on_failure=on_failure)
    view = replace(view, model=with_model(model))
    world = World(user_data(), view, store=world.store)
    world.predict(view, 1, 0.9, inputs_at=NOW - HOUR)
    response = world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])
    assert response["score"] == values
    assert [answer.status for answer in response.predictions["model_predictions"]] == statuses


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("load_broken", "raised RuntimeError: out of memory"),
        ("load_wrong", r"gave the outputs \['probability'\]; valid are \['score'\]"),
        ("load_nan", "gave NaN for 1 of 2 rows, such as entity row 1"),
    ],
)
def test_a_failed_inference_is_an_error_where_the_view_says_so(model: str, message: str) -> None:
    world, view = world_of(on_failure="error")
    world = World(user_data(), replace(view, model=with_model(model)), store=world.store)
    with pytest.raises(InferenceFailed, match=message):
        world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])


def test_a_row_without_a_number_fails_alone_and_is_not_cached() -> None:
    world, view = world_of()
    world = World(user_data(), replace(view, model=with_model("load_nan")), store=world.store)
    rows = [{"user_id": 1}, {"user_id": 2}]
    for statuses in (["LIVE", "FAILED"], ["CACHED", "FAILED"]):
        response = world.client.get_online_features([SCORE], rows)
        assert response["score"] == [0.4, None]
        assert [answer.status for answer in response.predictions["model_predictions"]] == statuses


def test_require_features_off_asks_the_model_for_unknown_entities() -> None:
    world, _ = world_of(require_features=False)
    response = world.client.get_online_features([SCORE], [{"user_id": 7}])
    assert response.predictions["model_predictions"] == [("LIVE", timedelta(0), "1", NOW)]
    assert (
        world.client.get_online_features([SCORE], [{"user_id": 7}]).predictions["model_predictions"][0][0] == "CACHED"
    )
    assert len(CALLS) == 1


def test_a_model_without_features_gets_the_join_keys() -> None:
    view = scores(inputs=())
    world = World(view)
    world.point("model_predictions", covered_until_us=None)
    assert world.client.get_online_features([SCORE], [{"user_id": 7}])["score"] == [70.0]
    assert CALLS[0]["user_id"].tolist() == [7]
    assert world.client.get_online_features([SCORE], [{"user_id": 7}])["score"] == [70.0]
    assert len(CALLS) == 1


def test_request_fields_are_part_of_the_key() -> None:
    world, _ = world_of(request=(field("hour", Int64),))
    ask = world.client.get_online_features
    rows = [{"user_id": 1, "hour": 9}, {"user_id": 1, "hour": 10}]
    assert ask([SCORE], rows).to_dict() == {"user_id": [1, 1], "score": [4.0, 4.0]}
    assert CALLS[0]["hour"].tolist() == [9, 10]
    assert [answer.status for answer in ask([SCORE], rows).predictions["model_predictions"]] == ["CACHED", "CACHED"]


def test_a_bumped_model_serves_the_older_prediction_as_stale() -> None:
    world, old = world_of(on_stale="serve_stale")
    world.predict(old, 1, 0.9)
    new = replace(old, version=2, storage_id=33, model=replace(old.model, version="2"))
    world = World(user_data(), new, older=(old,), store=world.store)
    world.point("model_predictions", version=1, storage_id=3)
    response = world.client.get_online_features([SCORE], USER_1)
    assert response["score"] == [0.9]
    assert response.predictions["model_predictions"] == [("STALE", timedelta(0), "1", NOW)]
    world.predict(new, 1, 0.5)
    response = world.client.get_online_features([SCORE], USER_1)
    assert response.predictions["model_predictions"] == [("CACHED", timedelta(0), "2", NOW)]


class UnwritableStore(CountingStore):
    """Refuses what ``refused`` names: "locks", "predictions"."""

    refused: frozenset[str] = frozenset()

    def row_locks(self) -> Any:
        return UnwritableLocks(self, self._inner.row_locks())


class UnwritableLocks(CountingLocks):
    store: UnwritableStore

    def claim(self, *arguments: Any, **options: Any) -> Any:
        self._refuse("locks")
        return super().claim(*arguments, **options)

    def settle(self, *arguments: Any, **options: Any) -> Any:
        self._refuse("predictions")
        return super().settle(*arguments, **options)

    def _refuse(self, what: str) -> None:
        if what in self.store.refused:
            raise OnlineStoreUnavailable("out of memory")


@pytest.mark.parametrize("refused", [{"predictions"}, {"locks", "predictions"}])
def test_a_prediction_that_cannot_be_written_back_is_given_out_all_the_same(refused: set[str]) -> None:
    store = UnwritableStore(MemoryOnlineStore(clock=Clock()))
    features, view = user_data(), scores()
    world = World(features, view, store=store)
    world.put(features, 1, {"click_through_rate": 0.4})
    store.refused = frozenset(refused)
    assert world.client.get_online_features([SCORE], USER_1)["score"] == [4.0]
    assert len(CALLS) == 1


def test_null_inputs_reach_the_model_as_nan() -> None:
    features, view = user_data(), scores(inputs=(ref("user_data", "number_of_clicks"),))
    world = World(features, view)
    world.put(features, 1, {"number_of_clicks": None})
    world.put(features, 2, {"number_of_clicks": 2})
    assert world.client.get_online_features([SCORE], [{"user_id": 1}, {"user_id": 2}])["score"] == [0.0, 20.0]
    assert str(CALLS[0]["number_of_clicks"]) == "[nan  2.]"
