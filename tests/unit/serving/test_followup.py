"""What lookups set off beside their answers: predictions made ahead of their age, and shadow models."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import CodeRef, ModelNode
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.served_files import ServedFiles
from featurestore.serving.served_log import ServedLog
from tests.support.serving import NOW, PROJECT, World, scores, user_data
from tests.support.switchable import SwitchableModel
from tests.unit.serving.test_served_log import landed

SCORE = "model_predictions:score"
HOUR = timedelta(hours=1)


class Shadows(SwitchableModel):
    """Models of several versions: a version's number is added to the score; version 3 fails."""

    def predict(self, model: ModelNode, inputs: Any) -> Any:
        found = super().predict(model, inputs)
        if model.version == "3":
            raise InferenceFailed(f"{model.title} raised RuntimeError: no")
        return {"score": np.asarray(found["score"]) + (int(model.version) - 1) * 100}


def world_of(model: SwitchableModel, *, log: ServedLog | None = None, **overrides: Any) -> World:
    """Have users 1 to 4, whose predictions are 29, 27 and 20 hours old, and none."""
    features, view = user_data(), scores(**overrides)
    world = World(features, view)
    world.point("model_predictions", covered_until_us=None)
    for user in (1, 2, 3, 4):
        world.put(features, user, {"click_through_rate": user / 4}, event=NOW - 40 * HOUR)
    for user, age in ((1, 29), (2, 27), (3, 20)):
        world.predict(view, user, user / 10, predicted_at=NOW - age * HOUR, inputs_at=NOW - 40 * HOUR)
    world.client = OnlineClient(
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        predictor=model,
        log=log,
    )
    return world


def ask(world: World, *users: int, repair: bool = True) -> tuple[list[Any], list[str]]:
    answer = world.client.get_online_features([SCORE], {"user_id": list(users)}, repair=repair)
    return answer["score"], [str(one.status) for one in answer.predictions["model_predictions"]]


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not condition() and time.monotonic() < limit:
        time.sleep(0.005)
    assert condition()


def test_a_prediction_near_its_age_is_served_and_made_anew_in_the_background() -> None:
    model = SwitchableModel()
    world = world_of(model, refresh_ahead=2 * HOUR)
    model.gate.clear()
    assert ask(world, 1, 2, 3) == ([0.1, 0.2, 0.3], ["CACHED"] * 3)
    assert model.entered.acquire(timeout=5)
    assert ask(world, 1) == ([0.1], ["CACHED"])  # while the model runs, too
    model.gate.set()
    world.client.close()
    assert ask(world, 1, 2, 3) == ([2.5, 0.2, 0.3], ["CACHED"] * 3)
    assert [call["click_through_rate"].tolist() for call in model.calls] == [[0.25]]
    world.clock.now += 3 * HOUR
    assert ask(world, 1)[1] == ["CACHED"]


def test_it_is_off_by_default_and_without_repair() -> None:
    for overrides, repair in (({}, True), ({"refresh_ahead": 2 * HOUR}, False)):
        model = SwitchableModel()
        world = world_of(model, **overrides)
        assert ask(world, 1, repair=repair) == ([0.1], ["CACHED"])
        world.client.close()
        assert model.calls == []


def test_a_refresh_that_fails_leaves_the_prediction_as_it_is() -> None:
    model = SwitchableModel()
    model.behaviour = "raises"
    world = world_of(model, refresh_ahead=2 * HOUR)
    assert ask(world, 1) == ([0.1], ["CACHED"])
    world.client.close()
    assert (ask(world, 1), len(model.calls)) == (([0.1], ["CACHED"]), 1)
    world.client.close()
    assert len(model.calls) == 1  # the cooldown holds for refreshes as well


def test_two_clients_refresh_a_key_once() -> None:
    model = SwitchableModel()
    world = world_of(model, refresh_ahead=2 * HOUR)
    other = OnlineClient(
        world.store, PROJECT, manifests=FixedManifests(world.manifest), clock=world.clock, predictor=model
    )
    model.gate.clear()
    ask(world, 1)
    assert model.entered.acquire(timeout=5)
    other.get_online_features([SCORE], {"user_id": [1]})
    other.close()
    model.gate.set()
    world.client.close()
    assert len(model.calls) == 1


def shadow(version: str) -> ModelNode:
    return ModelNode(name="m", version=version, load=CodeRef(path=f"models:load_{version}", digest=""))


def test_shadow_models_are_asked_and_logged_and_never_served(tmp_path: Path) -> None:
    model = Shadows()
    log = ServedLog(ServedFiles(str(tmp_path), tmp_path / "spool"), seconds=60)
    world = world_of(model, log=log, shadow=(shadow("2"), shadow("3")))
    before = dict(world.store._inner._values)  # type: ignore[attr-defined]
    assert ask(world, 1, 3, 9) == ([0.1, 0.3, None], ["CACHED", "CACHED", "MISSING"])
    until(lambda: len(model.calls) == 2)
    world.client.close()
    assert world.store._inner._values == before  # type: ignore[attr-defined]
    logged = landed(tmp_path)
    served = [row for row in logged if not row["is_shadow"]]
    assert [(row["user_id"], row["score"], row["model_version"]) for row in served] == [
        (1, 0.1, "1"),
        (3, 0.3, "1"),
        (9, None, None),
    ]
    shadows = sorted((row for row in logged if row["is_shadow"]), key=lambda row: str(row["model_version"]))
    assert [
        (row["user_id"], row["score"], row["model_version"], row["served_status"], row["served_row"]) for row in shadows
    ] == [
        (1, 102.5, "2", "LIVE", 0),
        (3, 107.5, "2", "LIVE", 1),
        (1, None, "3", "FAILED", 0),
        (3, None, "3", "FAILED", 1),
    ]
    assert {row["served_request"] for row in logged} == {served[0]["served_request"]}
    assert shadows[0]["inputs_digest"] == served[0]["inputs_digest"]


def test_shadows_see_a_share_of_the_lookups_and_need_a_log(tmp_path: Path) -> None:
    model = Shadows()
    world = world_of(model, shadow=(shadow("2"),))
    ask(world, 1)
    world.client.close()
    assert model.calls == []
    log = ServedLog(ServedFiles(str(tmp_path), tmp_path / "spool"), seconds=60)
    world = world_of(model, log=log, shadow=(shadow("2"),), shadow_fraction=0.25)
    for _ in range(60):
        ask(world, 3)
        until(lambda: world.client._inference._followup._shadows.wait_idle(0.1))
    world.client.close()
    assert 2 <= len(model.calls) <= 40
    assert len([row for row in landed(tmp_path) if not row["is_shadow"]]) == 60


def test_a_shadow_changes_nothing_of_a_views_version() -> None:
    plain = scores()
    assert replace(plain, shadow=(shadow("2"),)).asks_models
    assert not scores(on_stale="null").asks_models
    assert scores(on_stale="null", shadow=(shadow("2"),)).asks_models
