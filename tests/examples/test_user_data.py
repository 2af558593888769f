"""The source document's four snippets, word for word: how often they call the model, and what the next read finds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.user_data.run import SNIPPETS, ModelServer, main, run_snippet
from featurestore import FeatureStore
from tests.support.guide import GuideProject

pytestmark = pytest.mark.redis

POSTED = {
    "user_id": [1],
    "click_through_rate": [0.5],
    "number_of_clicks": [8],
    "average_page_duration": [20.0],
    "last_event": [datetime(2026, 1, 1, tzinfo=UTC)],
}


def run(project: GuideProject, name: str) -> tuple[int, Mapping[str, Any]]:
    """Run a snippet; give the number of model calls and what it set."""
    server = ModelServer()
    with FeatureStore(project.root) as store:
        found = run_snippet(name, store, server, {"user_data": POSTED})
    return server.calls, found


def served(project: GuideProject) -> tuple[float | None, str]:
    """Read user 1's prediction and its status."""
    with FeatureStore(project.root) as store:
        answer = store.get_online_features(["user_data:model_predictions"], [{"user_id": 1}])
        return answer.to_dict()["model_predictions"][0], str(answer.predictions["model_predictions"][0].status)


def test_online_features_go_to_the_model_server(web: GuideProject) -> None:
    calls, found = run(web, "online_features")
    assert calls == 1
    assert found["features"].to_dict()["number_of_clicks"] == [14]
    assert found["model_predictions"]["model_predictions"][0] == pytest.approx(0.5088, abs=0.0001)


def test_precomputed_predictions_call_no_model(web: GuideProject) -> None:
    run(web, "client_reads")
    calls, found = run(web, "precomputed_predictions")
    assert calls == 0
    assert found["model_predictions"].to_dict()["model_predictions"] == [served(web)[0]]


def test_a_client_that_reads_infers_what_is_missing_or_stale(web: GuideProject) -> None:
    assert served(web) == (None, "MISSING")
    assert run(web, "client_reads")[0] == 1
    value, status = served(web)
    assert (value, status) == (pytest.approx(0.5088, abs=0.0001), "CACHED")
    assert run(web, "client_reads")[0] == 0
    web.serve("user_data", [web_user(click_through_rate=0.9)], at=datetime.now(UTC))
    assert served(web) == (None, "STALE")
    assert run(web, "client_reads")[0] == 1
    changed, status = served(web)
    assert status == "CACHED" and changed is not None and value is not None and changed > value
    assert run(web, "client_reads")[0] == 0


def test_a_client_that_writes_leaves_features_and_a_fresh_prediction(web: GuideProject) -> None:
    assert run(web, "client_writes")[0] == 1
    value, status = served(web)
    assert status == "CACHED" and value is not None
    calls, found = run(web, "client_reads")
    assert calls == 0
    assert found["features"].to_dict()["number_of_clicks"] == [8]


def test_each_runs_as_a_program(web: GuideProject, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SNIPPETS:
        assert main([name, "--repo", str(web.root)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("of the model")]
    assert [line[0] for line in lines] == ["1", "0", "1", "1"]


def web_user(**overrides: Any) -> dict[str, Any]:
    return {"user_id": 1, "click_through_rate": 0.4, "number_of_clicks": 14, "average_page_duration": 30.0} | overrides
