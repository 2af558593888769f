"""The four inference strategies and the two layouts of client, lookup and model, on the flights example."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from definitions.flights.lookups import look_between_steps, repairs_table
from definitions.flights.model import load
from examples.inference import cached, feast_centric, inference_centric, no_features, online_features, precomputed
from examples.inference.servers import inference_service, model_server, serving
from featurestore import FeatureStore

pytestmark = pytest.mark.redis

Flight = dict[str, str]
UNKNOWN = {"carrier": "ZZ", "origin": "XXX", "dest": "YYY"}


class Counted:
    """The real model; counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0
        self._model = load()

    def predict(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.calls += 1
        return self._model.predict(inputs)


def test_online_features_go_to_a_model_of_the_clients(flights: FeatureStore, flight: Flight) -> None:
    model = Counted()
    (probability,) = online_features.predict(flights, model, [flight])
    assert 0 < probability < 1 and model.calls == 1
    with serving(model_server()) as url:
        assert feast_centric.predict(flights, url, [flight, UNKNOWN]) == pytest.approx(
            online_features.predict(flights, model, [flight, UNKNOWN])
        )


def test_precomputed_predictions_are_read_as_features_are(flights: FeatureStore, flight: Flight) -> None:
    cached.produce(flights, flight, 0.25)
    assert precomputed.board(flights, [flight, UNKNOWN]) == [(0.25, "CACHED"), (None, "MISSING")]


def test_a_missing_prediction_is_inferred_once_and_cached(flights: FeatureStore, flight: Flight) -> None:
    (first,), (again,) = (cached.show(flights, [flight]) for _ in range(2))
    assert (first[2], again[2]) == ("LIVE", "CACHED")
    assert first[:2] == again[:2] == (0.231953, online_features.predict(flights, load(), [flight])[0])
    cached.produce(flights, flight, 0.75)
    assert cached.show(flights, [flight]) == [(0.231953, 0.75, "CACHED")]


def test_a_prediction_without_features_is_cached_by_the_request(flights: FeatureStore) -> None:
    assert no_features.minutes_in_the_air(flights, [200, 733]) == [
        (pytest.approx(43.69, abs=0.01), "LIVE"),
        (pytest.approx(110.91, abs=0.01), "LIVE"),
    ]
    assert [status for _, status in no_features.minutes_in_the_air(flights, [733, 200, 10])] == [
        "CACHED",
        "CACHED",
        "LIVE",
    ]


def test_an_inference_service_looks_up_and_answers(flights: FeatureStore, flight: Flight) -> None:
    with serving(inference_service(flights)) as url:
        answers: list[dict[str, Any]] = [inference_centric.ask(url, [flight])[0] for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["LIVE", "CACHED"]
    assert answers[0]["probability_late"] == online_features.predict(flights, load(), [flight])[0]
    assert answers[0]["model_version"] == "1"


def test_the_demo_shows_what_becomes_of_predictions_between_steps(flights: FeatureStore, flight: Flight) -> None:
    cached.produce(flights, flight, 0.25)
    found = look_between_steps(flights, flight, clock=lambda: 3.0)
    assert [looked.status for looked in found] == ["CACHED", "LIVE", "CACHED", "LIVE", "CACHED"]
    first, stale, again, missing, cached_since = (looked.probability for looked in found)
    assert first == 0.25 != stale == again
    assert missing == cached_since is not None
    assert found[3].flight["dest"] == "GRU"
    assert repairs_table(found).row_count == 5


@pytest.mark.parametrize(
    "name", ["online_features", "precomputed", "cached", "no_features", "feast_centric", "inference_centric"]
)
def test_each_runs_as_a_program(
    flights: FeatureStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(flights.settings.repo)
    importlib.import_module(f"examples.inference.{name}").main()
    assert capsys.readouterr().out
