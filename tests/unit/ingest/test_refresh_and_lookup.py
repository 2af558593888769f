"""A prediction made when its inputs are written is a hit for the next lookup."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from featurestore.ingest.writer import OnlineWriter
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from tests.support.serving import NOW, PROJECT, World, scores, user_data
from tests.support.switchable import SwitchableModel

SCORE = "model_predictions:score"


class Shop:
    """A writer that has predictions made by a client, and a model that the test switches."""

    def __init__(self, **overrides: Any) -> None:
        self.world = World(user_data(), scores(**overrides))
        self.world.point("model_predictions", covered_until_us=None)
        self.model = SwitchableModel()
        manifests = FixedManifests(self.world.manifest)
        self.client = OnlineClient(
            self.world.store, PROJECT, manifests=manifests, clock=self.world.clock, predictor=self.model, deadline=5
        )
        self.writer = OnlineWriter(
            self.world.store, PROJECT, manifests=manifests, clock=self.world.clock, infer=self.client.infer_rows
        )

    def write(self, rate: float, *, hours: int = 0) -> int:
        """Write user 1's features; give how many predictions were made of them."""
        columns = {
            "user_id": [1],
            "click_through_rate": [rate],
            "number_of_clicks": [3],
            "event_timestamp": [NOW + timedelta(hours=hours)],
        }
        self.world.clock.now = NOW + timedelta(hours=hours)
        return self.writer.write("user_data", columns).predicted.get("model_predictions", 0)

    def status(self) -> tuple[str, Any]:
        answer = self.client.get_online_features([SCORE], [{"user_id": 1}])
        return str(answer.predictions["model_predictions"][0].status), answer["score"][0]


@pytest.mark.parametrize("on_stale", ["infer", "serve_stale", "null", "error"])
def test_the_next_lookup_is_a_hit_whatever_the_views_policy(on_stale: str) -> None:
    shop = Shop(refresh=("on_schedule", "on_write"), on_stale=on_stale)
    assert shop.write(0.25) == 1
    assert shop.status() == ("CACHED", 2.5)
    assert shop.write(0.5, hours=1) == 1
    assert shop.status() == ("CACHED", 5.0)
    assert len(shop.model.calls) == 2


def test_a_model_that_fails_leaves_the_prediction_to_the_lookups() -> None:
    shop = Shop(refresh=("on_write",))
    shop.model.behaviour = "raises"
    assert shop.write(0.25) == 0
    assert shop.status() == ("FAILED", None)
    shop.world.clock.now += timedelta(seconds=6)
    shop.model.behaviour = "right"
    assert shop.status() == ("LIVE", 2.5)


def test_without_it_the_next_lookup_infers() -> None:
    shop = Shop()
    assert shop.write(0.25) == 0
    assert shop.status() == ("LIVE", 2.5)
