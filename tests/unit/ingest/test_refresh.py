"""Predictions made when their inputs are written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from featurestore.errors import DeadlineExceeded
from featurestore.ingest.writer import OnlineWriter
from featurestore.ir.nodes import PredictionViewNode
from featurestore.serving.manifests import FixedManifests
from tests.support.serving import World, scores, user_data

COLUMNS = {"click_through_rate": [0.4, 0.5], "number_of_clicks": [3, 4]}


class Asked:
    """Notes what is to be predicted, and answers as told."""

    def __init__(self, *statuses: str, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._statuses = statuses
        self._error = error

    def __call__(self, view: PredictionViewNode, rows: Mapping[str, Any]) -> list[Any]:
        self.calls.append((view.name, dict(rows)))
        if self._error is not None:
            raise self._error
        return [SimpleNamespace(status=status) for status in self._statuses]


def writer(infer: Asked | None, **overrides: Any) -> OnlineWriter:
    world = World(user_data(), scores(**overrides))
    return OnlineWriter(world.store, "shop", manifests=FixedManifests(world.manifest), clock=world.clock, infer=infer)


def test_a_view_that_refreshes_on_write_is_predicted_from_the_rows() -> None:
    infer = Asked("LIVE", "CACHED")
    result = writer(infer, refresh=("on_write",)).write("user_data", {"user_id": [1, 2]} | COLUMNS)
    assert infer.calls == [("model_predictions", {"user_id": [1, 2]})]
    assert dict(result.predicted) == {"model_predictions": 1}


def test_others_are_left_to_lookups_and_invalid_rows_are_never_predicted() -> None:
    infer = Asked("LIVE")
    assert dict(writer(infer).write("user_data", {"user_id": [1, 2]} | COLUMNS).predicted) == {}
    assert infer.calls == []
    result = writer(infer, refresh=("on_write",)).write(
        "user_data", {"user_id": [1, None]} | COLUMNS, on_invalid="dead_letter"
    )
    assert infer.calls == [("model_predictions", {"user_id": [1]})]
    assert (result.written, result.dead_lettered, dict(result.predicted)) == (1, 1, {"model_predictions": 1})


def test_what_cannot_be_predicted_is_written_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    infer = Asked(error=DeadlineExceeded("too late"))
    with caplog.at_level(logging.WARNING):
        result = writer(infer, refresh=("on_write",)).write("user_data", {"user_id": [1, 2]} | COLUMNS)
    assert (result.written, dict(result.predicted)) == (2, {})
    assert "model_predictions: not predicted at write: too late" in caplog.text
