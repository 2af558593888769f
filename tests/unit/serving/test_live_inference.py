"""Live inference that waits, fails, is late or is overtaken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from featurestore.errors import DeadlineExceeded, InferenceFailed
from featurestore.ir.nodes import PredictionViewNode, ViewNode
from featurestore.serving.client import OnlineClient
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.response import OnlineResponse
from tests.support.serving import NOW, PROJECT, World, scores, user_data
from tests.support.switchable import SwitchableModel

SCORE = "model_predictions:score"
HOUR = timedelta(hours=1)
WRONG = ["raises", "nan", "short", "shape", "type", "names", "nothing"]


class Shop(World):
    """Users 1 to 9 with features of an hour ago and no predictions, and a model that the test switches."""

    def __init__(self, **overrides: Any) -> None:
        self.features: ViewNode = user_data()
        self.view: PredictionViewNode = scores(**overrides)
        super().__init__(self.features, self.view)
        self.point("model_predictions", covered_until_us=None)
        for user in range(1, 10):
            self.put(self.features, user, {"click_through_rate": user / 10}, event=NOW - HOUR)
        self.model = SwitchableModel()
        self.client = self.open()

    def open(self, **options: Any) -> OnlineClient:
        return OnlineClient(
            self.store,
            PROJECT,
            manifests=FixedManifests(self.manifest),
            clock=self.clock,
            predictor=self.model,
            inference=InferenceOptions(**options),
        )

    def ask(self, *users: int, client: OnlineClient | None = None, deadline: float = 5.0) -> OnlineResponse:
        return (client or self.client).get_online_features([SCORE], {"user_id": list(users)}, deadline=deadline)


def statuses(response: OnlineResponse) -> list[str]:
    return [str(answer.status) for answer in response.predictions["model_predictions"]]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def in_flight(shop: Shop, pool: ThreadPoolExecutor, *users: int) -> Future[OnlineResponse]:
    """Ask, and return when the model has been asked but does not answer."""
    shop.model.gate.clear()
    asked = pool.submit(shop.ask, *users)
    assert shop.model.entered.acquire(timeout=5)
    return asked


def test_threads_and_clients_that_miss_the_same_keys_share_one_model_call(pool: ThreadPoolExecutor) -> None:
    shop = Shop()
    first = in_flight(shop, pool, 1, 2)
    others = [pool.submit(shop.ask, 2, 1, client=client) for client in (shop.client, shop.open()) for _ in range(10)]
    time.sleep(0.05)
    shop.model.gate.set()
    assert first.result()["score"] == [1.0, 2.0]
    for other in others:
        assert other.result()["score"] == [2.0, 1.0]
        assert set(statuses(other.result())) <= {"LIVE", "CACHED"}
    assert len(shop.model.calls) == 1
    assert statuses(shop.ask(1, 2)) == ["CACHED", "CACHED"]


def test_only_entities_that_nobody_predicts_are_asked_for(pool: ThreadPoolExecutor) -> None:
    shop = Shop()
    first = in_flight(shop, pool, 1, 2)
    second = pool.submit(shop.ask, 2, 3, 3)
    assert shop.model.entered.acquire(timeout=5)
    shop.model.gate.set()
    assert first.result()["score"] == [1.0, 2.0]
    assert second.result()["score"] == pytest.approx([2.0, 3.0, 3.0])
    assert statuses(second.result()) == ["LIVE"] * 3
    assert [call["click_through_rate"].tolist() for call in shop.model.calls] == [[0.1, 0.2], [0.3]]


@pytest.mark.parametrize(
    ("on_failure", "values", "expected"),
    [("serve_stale", [0.9, None], ["STALE", "FAILED"]), ("null", [None, None], ["FAILED", "FAILED"])],
)
def test_the_deadline_bounds_the_wait_and_a_late_result_is_written_back(
    on_failure: str, values: list[float | None], expected: list[str]
) -> None:
    shop = Shop(on_failure=on_failure)
    shop.predict(shop.view, 1, 0.9, predicted_at=NOW - 31 * HOUR, inputs_at=NOW - HOUR)
    shop.model.gate.clear()
    began = time.monotonic()
    overdue = shop.ask(1, 2, deadline=0.1)
    assert time.monotonic() - began < 2
    assert (overdue["score"], statuses(overdue)) == (values, expected)
    shop.model.gate.set()
    shop.client.close()
    assert (shop.ask(1, 2)["score"], statuses(shop.ask(1, 2))) == ([1.0, 2.0], ["CACHED", "CACHED"])
    assert len(shop.model.calls) == 1


def test_a_missed_deadline_is_a_typed_error_where_failures_are_and_no_failure_of_the_model() -> None:
    shop = Shop(on_failure="error")
    shop.model.gate.clear()
    for kind in (InferenceFailed, DeadlineExceeded):
        with pytest.raises(kind, match="gave no prediction for 1 of 1 entities before the deadline"):
            shop.ask(1, deadline=0.05)
    shop.model.gate.set()
    assert shop.ask(2)["score"] == [2.0]  # neither a cooldown nor an open breaker


@pytest.mark.parametrize("behaviour", WRONG)
def test_what_a_model_does_wrong_is_told_and_nothing_is_cached(behaviour: str) -> None:
    shop = Shop(on_failure="error")
    shop.model.behaviour = behaviour
    with pytest.raises(InferenceFailed, match="model"):
        shop.ask(1, 2)
    shop.model.behaviour = "right"
    shop.clock.now += timedelta(seconds=6)
    assert (shop.ask(1, 2)["score"], statuses(shop.ask(1, 2))) == ([1.0, 2.0], ["CACHED", "CACHED"])


@pytest.mark.parametrize("behaviour", WRONG)
def test_a_failure_keeps_the_entity_from_the_model_for_five_seconds_in_every_process(behaviour: str) -> None:
    shop = Shop()
    shop.model.behaviour = behaviour
    assert statuses(shop.ask(1)) == ["FAILED"]
    shop.model.behaviour = "right"
    other = shop.open()
    assert statuses(shop.ask(1, 2, client=other)) == ["FAILED", "LIVE"]
    shop.clock.now += timedelta(seconds=4.9)
    assert statuses(shop.ask(1, client=other)) == ["FAILED"]
    shop.clock.now += timedelta(seconds=0.2)
    assert statuses(shop.ask(1, client=other)) == ["LIVE"]
    assert len(shop.model.calls) == 3


def test_a_model_that_keeps_failing_is_left_alone_and_then_probed() -> None:
    shop = Shop()
    client = shop.open(breaker_failures=3, breaker_seconds=0.2)
    shop.model.behaviour = "raises"
    for user in (1, 2, 3, 4, 5):
        assert statuses(shop.ask(user, client=client)) == ["FAILED"]
    assert len(shop.model.calls) == 3
    time.sleep(0.25)
    assert statuses(shop.ask(6, client=client)) == ["FAILED"]  # the probe fails
    assert statuses(shop.ask(7, client=client)) == ["FAILED"]
    assert len(shop.model.calls) == 4
    time.sleep(0.25)
    shop.model.behaviour = "right"
    assert statuses(shop.ask(7, 8, client=client)) == ["LIVE", "LIVE"]
    assert statuses(shop.ask(9, client=client)) == ["LIVE"]


def test_a_publication_that_lands_during_inference_stays_where_its_inputs_are_newer(pool: ThreadPoolExecutor) -> None:
    shop = Shop()
    asked = in_flight(shop, pool, 1)
    shop.put(shop.features, 1, {"click_through_rate": 0.7}, event=NOW)
    shop.predict(shop.view, 1, 7.5, predicted_at=NOW - 2 * HOUR, inputs_at=NOW)
    shop.model.gate.set()
    assert (asked.result()["score"], statuses(asked.result())) == ([1.0], ["LIVE"])
    after = shop.ask(1)
    assert (after["score"], statuses(after)) == ([7.5], ["CACHED"])


def test_a_prediction_from_inputs_that_went_back_in_time_is_kept() -> None:
    """A repair withdraws the newest features: what the model says of those before stands, again and again."""
    shop = Shop()
    shop.put(shop.features, 1, {"click_through_rate": 0.7}, event=NOW)
    assert (shop.ask(1)["score"], shop.ask(1)["score"], len(shop.model.calls)) == ([7.0], [7.0], 1)
    for number, (value, event) in enumerate([(0.3, NOW - 2 * HOUR), (0.4, NOW - 3 * HOUR), (0.5, NOW - HOUR)], 1):
        under = NOW + number * timedelta(microseconds=1)
        shop.put(shop.features, 1, {"click_through_rate": value}, event=event, stands_under=under)
        shop.clock.now = NOW + number * timedelta(seconds=1)
        answer, again = shop.ask(1), shop.ask(1)
        assert (answer["score"], statuses(answer)) == ([value * 10], ["LIVE"])
        assert (again["score"], statuses(again)) == ([value * 10], ["CACHED"])
        assert again.event_timestamps["score"] == [event]
        assert len(shop.model.calls) == 1 + number
    shop.put(shop.features, 1, {"click_through_rate": 0.9}, event=NOW + timedelta(microseconds=9))
    assert (shop.ask(1)["score"], statuses(shop.ask(1))) == ([9.0], ["CACHED"])


def test_a_caller_that_read_newer_features_does_not_take_an_answer_made_from_older_ones(
    pool: ThreadPoolExecutor,
) -> None:
    shop = Shop()
    asked = in_flight(shop, pool, 1)
    shop.put(shop.features, 1, {"click_through_rate": 0.7}, event=NOW)
    newer = pool.submit(shop.ask, 1)
    time.sleep(0.05)
    shop.model.gate.set()
    assert asked.result()["score"] == [1.0]
    assert (newer.result()["score"], statuses(newer.result())) == ([7.0], ["LIVE"])
    after = shop.ask(1)
    assert (after["score"], statuses(after)) == ([7.0], ["CACHED"])
    assert len(shop.model.calls) == 2


def test_a_prediction_that_landed_between_read_and_claim_is_taken_without_a_model_call() -> None:
    shop = Shop()
    locks, inner = shop.store.row_locks(), shop.store._inner.row_locks()
    missed: list[Any] = []

    class Racing(type(locks)):  # type: ignore[misc]
        def claim(self, rows: Any, *arguments: Any, **options: Any) -> Any:
            if not missed:
                missed.append(rows)
                shop.predict(shop.view, 1, 0.25, predicted_at=NOW, inputs_at=NOW - HOUR)
            return super().claim(rows, *arguments, **options)

    shop.store.row_locks = lambda: Racing(shop.store, inner)  # type: ignore[method-assign]
    response = shop.ask(1, 2, client=shop.open())
    assert response["score"] == [0.25, 2.0]
    assert [call["click_through_rate"].tolist() for call in shop.model.calls] == [[0.2]]


def test_hung_models_fill_the_threads_and_then_calls_are_refused_at_once() -> None:
    shop = Shop()
    client = shop.open(threads=2, backlog=1)
    shop.model.gate.clear()
    for user in (1, 2, 3):
        assert statuses(shop.ask(user, client=client, deadline=0.05)) == ["FAILED"]
    began = time.monotonic()
    assert statuses(shop.ask(4, client=client, deadline=5)) == ["FAILED"]
    assert time.monotonic() - began < 2
    assert len(shop.model.calls) == 2
    shop.model.gate.set()
    client.close()
    assert statuses(shop.ask(1, 2, 3, 4, client=client)) == ["CACHED", "CACHED", "CACHED", "LIVE"]


def test_threads_end_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.serving.workers._IDLE_SECONDS", 0.05)
    monkeypatch.setattr("featurestore.serving.locks._IDLE_SECONDS", 0.05)
    shop = Shop()
    before = threading.active_count()
    shop.ask(1, client=shop.open(lock_seconds=0.1))
    assert threading.active_count() > before
    limit = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < limit:
        time.sleep(0.02)
    assert threading.active_count() <= before
