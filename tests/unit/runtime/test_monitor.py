"""Reports from the log of served predictions: labels joined as of their time, statuses, shadow models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.codec.arrow import arrow_schema
from featurestore.errors import EntityKeyMissing, FeatureNotFound, SettingsError
from featurestore.ir.served import served_fields, served_landing
from tests.support.guide import GuideProject, make_web

pytestmark = pytest.mark.redis

NOW = datetime(2026, 2, 1, tzinfo=UTC)
VIEW = "model_predictions"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    project = make_web(tmp_path_factory.mktemp("web"))
    project.apply()
    log(project, [served(user, hour, score) for user, hour, score in SERVED])
    log(project, [served(9, 1, None, served_status="MISSING", model_version=None, served_row=2)], name="missing")
    shadowed = [served(user, hour, score / 2, is_shadow=True, model_version="2") for user, hour, score in SERVED[:3]]
    log(project, shadowed, name="shadow")
    yield project
    project.redis.stop()


SERVED = [(1, 1, 0.2), (2, 1, 0.9), (1, 5, 0.8), (3, 6, 0.1)]


def served(user: int, hour: int, score: float | None, **overrides: Any) -> dict[str, Any]:
    values = {
        "user_id": user,
        "score": score,
        "served_at": NOW - 24 * HOUR + hour * HOUR,
        "served_request": f"{hour}",
        "served_row": user % 2,
        "served_status": "CACHED",
        "model_name": "ctr",
        "model_version": "1",
        "is_shadow": False,
    }
    return values | overrides


def log(project: GuideProject, rows: list[dict[str, Any]], name: str = "rows") -> None:
    """Leave a file as a lookup does."""
    with FeatureStore(project.root) as store:
        view = store.manifest.prediction_views[VIEW]
        folder = Path(store.settings.offline_root) / served_landing(view)
    folder.mkdir(parents=True, exist_ok=True)
    schema = arrow_schema(served_fields(view))
    full = [{field.name: row.get(field.name) for field in schema} for row in rows]
    pq.write_table(pa.Table.from_pylist(full, schema=schema), folder / f"{name}.parquet")


def labels(tmp_path: Path, rows: list[tuple[int, int, int]]) -> Path:
    path = tmp_path / "labels.parquet"
    table = [{"user_id": u, "event_timestamp": NOW - 24 * HOUR + h * HOUR, "clicked": c} for u, h, c in rows]
    pq.write_table(pa.Table.from_pylist(table), path)
    return path


def monitored(project: GuideProject, tmp_path: Path, **options: Any) -> Any:
    with FeatureStore(project.root, clock=lambda: NOW) as store:
        page = store.reports.monitor(VIEW, path=tmp_path / "report.html", **options)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    return json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_label_counts_for_what_was_served_last_before_it(project: GuideProject, tmp_path: Path) -> None:
    came = labels(tmp_path, [(1, 4, 0), (1, 5, 1), (2, 20, 1), (3, 5, 1), (4, 9, 1)])
    found = monitored(project, tmp_path, labels=came, label="clicked")
    assert (found["served"], found["statuses"]) == (5, {"CACHED": 4, "MISSING": 1})
    assert (found["labels"], found["unmatched"]) == (5, 2)
    calibration = found["outputs"][0]["calibration"]
    assert (calibration["rows"], calibration["positives"]) == (3, pytest.approx(2 / 3))
    assert calibration["brier"] == pytest.approx((0.2**2 + 0.2**2 + 0.1**2) / 3)
    near = monitored(project, tmp_path, labels=came, label="clicked", within=2 * HOUR)
    assert near["unmatched"] == 4


def test_the_time_asked_for_bounds_what_was_served(project: GuideProject, tmp_path: Path) -> None:
    found = monitored(project, tmp_path, start=NOW - 24 * HOUR, end=NOW - 20 * HOUR)
    assert (found["served"], found["labels"], found["outputs"][0]["calibration"]) == (3, 0, None)
    empty = monitored(project, tmp_path, start=NOW - HOUR)
    assert (empty["served"], empty["outputs"][0]["distribution"]["rows"]) == (0, 0)


def test_mistakes_are_told(project: GuideProject, tmp_path: Path) -> None:
    with pytest.raises(EntityKeyMissing, match="the labels lack label; found user_id, event_timestamp, clicked"):
        monitored(project, tmp_path, labels=labels(tmp_path, [(1, 4, 0)]))
    with pytest.raises(SettingsError, match=r"there is no file or folder 'nothing.parquet'"):
        monitored(project, tmp_path, labels="nothing.parquet")
    with FeatureStore(project.root) as store, pytest.raises(FeatureNotFound, match="there are model_predictions"):
        store.reports.monitor("churn")


def test_a_shadow_model_is_compared_on_the_lookups_that_asked_both(project: GuideProject, tmp_path: Path) -> None:
    with FeatureStore(project.root, clock=lambda: NOW) as store:
        page = store.reports.compare_shadow(VIEW, path=tmp_path / "shadow.html")
        with pytest.raises(SettingsError, match="version '3' was asked for, and the log of that time has"):
            store.reports.compare_shadow(VIEW, "3")
    found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    (score,) = found["outputs"]
    assert (found["rows"], score["agreement"]["pairs"]) == (3, 3)
    assert score["agreement"]["mean_difference"] == pytest.approx(-(0.2 + 0.9 + 0.8) / 6)
    assert (found["old"], found["new"]) == ("served: model ctr 1", "shadow: model ctr 2")
