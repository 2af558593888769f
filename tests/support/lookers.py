"""Processes of threads that look up the same predictions at the same moment, with a model that notes its calls."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from featurestore.intervals import utc_now
from featurestore.ir.nodes import CodeRef, PredictionViewNode
from featurestore.serving.client import OnlineClient
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.response import OnlineResponse
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import PROJECT, World, scores, user_data

__all__ = ["SCORE", "USERS", "calls_of", "load", "look_once", "make_world", "noted_scores", "open_client"]

SCORE = "model_predictions:score"
USERS = tuple(range(1, 9))
CALLS_FILE = "LOOKERS_CALLS"
SECONDS = "LOOKERS_SECONDS"
LOCK_SECONDS = "LOOKERS_LOCK_SECONDS"


class NotingModel:
    """Scores a user's number of clicks times ten, after some seconds; writes a line for each call, before it sleeps."""

    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        clicks = inputs["number_of_clicks"]
        line = json.dumps([os.getpid(), [int(number) for number in clicks]]) + "\n"
        file = os.open(os.environ[CALLS_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)
        time.sleep(float(os.environ.get(SECONDS, "0")))
        return {"score": clicks * 10.0}


def load() -> NotingModel:
    return NotingModel()


def calls_of(path: Path) -> list[tuple[int, list[int]]]:
    """Give process and users of each call."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(pid, users) for pid, users in map(json.loads, lines)]


def noted_scores(**overrides: Any) -> PredictionViewNode:
    view = scores(max_age=timedelta(hours=30), **overrides)
    return replace(view, model=replace(view.model, load=CodeRef(path="tests.support.lookers:load", digest="")))


def make_world(url: str, view: PredictionViewNode | None = None) -> World:
    """Publish features of USERS, of now, without predictions; a user's clicks are the user's number."""
    features, predictions = user_data(), view or noted_scores()
    world = World(features, predictions, store=CountingStore(RedisOnlineStore.connect(url)))
    world.clock.now = utc_now()
    world.point("model_predictions", covered_until_us=None)
    for user in USERS:
        world.put(features, user, {"click_through_rate": 0.5, "number_of_clicks": user}, event=world.clock.now)
    return world


def open_client(url: str) -> OnlineClient:
    """Open a client that needs nothing but the environment, so that any process can."""
    manifest = World(user_data(), noted_scores()).manifest
    options = InferenceOptions(lock_seconds=float(os.environ.get(LOCK_SECONDS, "10")))
    store = RedisOnlineStore.connect(url)
    return OnlineClient(store, PROJECT, manifests=FixedManifests(manifest), inference=options)


def look_once(url: str, name: str, start: Callable[[], object]) -> str:
    """Look all users up, each caller in an order of its own; say what came."""
    process, thread = map(int, name.split("-"))
    shift = (process * 7 + thread) % len(USERS)
    users = USERS[shift:] + USERS[:shift]
    client = open_client(url)
    start()
    response = ask(client, users, deadline=20)
    client.close()
    right = response["score"] == [user * 10.0 for user in users]
    return f"right: {right}, {'/'.join(sorted({str(a.status) for a in response.predictions['model_predictions']}))}"


def ask(client: OnlineClient, users: Sequence[int], *, deadline: float) -> OnlineResponse:
    return client.get_online_features([SCORE], {"user_id": list(users)}, deadline=deadline)
