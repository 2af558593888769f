"""Two versions of a model file, scored beside each other, compared, and watched in service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from featurestore import FeatureStore
from featurestore.codec.arrow import arrow_schema
from featurestore.errors import ExitCode, FeatureNotFound
from featurestore.ir.served import served_fields, served_landing
from tests.support.project import Clock, Project
from tests.support.rides import CORE, day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

CODE = 'version="1", load="PACKAGE.model:load"'


def definitions(version: int) -> str:
    assert CODE in CORE
    return CORE.replace(CODE, f'version="{version}", path="models/tip-{version}.joblib"')


def write_model(root: Path, version: int) -> None:
    """Fit tip = distance / 10 + rides, and half as much more for each version."""
    rows = np.random.default_rng(1).random((50, 2)) * 50
    tips = (rows[:, 0] / 10 + rows[:, 1]) * (1 + (version - 1) / 2)
    model = make_pipeline(SimpleImputer(strategy="constant", fill_value=0.0), LinearRegression()).fit(rows, tips)
    (root / "models").mkdir(exist_ok=True)
    joblib.dump(model, root / "models" / f"tip-{version}.joblib")


@pytest.fixture(scope="module")
def store(project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """A store whose prediction view has two versions, each scored for two steps."""
    project = project_maker(definitions=CORE)
    for version in (1, 2):
        write_model(project.root, version)
    project.define(definitions(1))
    opened = store_opener(project, Clock(day(2, hour=1)))
    opened.apply()
    first = opened.materialize_incremental(day(2))
    assert first.exit_code is ExitCode.DONE, first.to_line()
    counts = [interval.counts for view in first.views if view.view == "tips" for interval in view.intervals]
    assert counts == [{"entities": 2, "predicted": 2}] * 2
    project.define(definitions(2))
    opened.apply()
    assert opened.rollback("tips").served == 1
    second = opened.backfill("tips", day(0), day(2))
    assert second.exit_code is ExitCode.DONE, second.to_line()
    return opened


def read(page: Path) -> Any:
    assert "<svg" in page.read_text(encoding="utf-8")
    return json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))


def served(store: FeatureStore) -> tuple[float, str, str | None]:
    answer = store.get_online_features(["tips:tip"], [{"driver_id": 1}])
    said = answer.predictions["tips"][0]
    return answer.to_dict()["tip"][0], str(said.status), said.model_version


def test_the_new_version_is_scored_while_the_old_one_is_held_and_served_at_once(store: FeatureStore) -> None:
    old, new = (pytest.approx(7.0), "CACHED", "1"), (pytest.approx(10.5), "CACHED", "2")
    assert served(store) == old
    assert store.rollback("tips", 2).served == 2
    assert served(store) == new
    assert store.rollback("tips").served == 1
    assert served(store) == old
    store.rollback("tips")
    assert served(store) == new


def test_versions_are_compared_on_what_both_say_of_the_same_entities(store: FeatureStore, tmp_path: Path) -> None:
    found = read(store.reports.compare("tips", (1, 2)))
    (tip,) = found["outputs"]
    assert (found["rows"], tip["agreement"]["pairs"], found["notes"]) == (2, 2, [])
    assert tip["old"]["maximum"] == pytest.approx(7.0) and tip["new"]["maximum"] == pytest.approx(10.5)
    assert tip["agreement"]["pearson"] == pytest.approx(1.0)
    assert [item["rows"] for item in found["latency"]["version 1"]] == [1]
    assert found["latency"]["version 2"][0]["median_seconds"] > 0
    earlier = read(store.reports.compare("tips", (1, 2), at=day(1), path=tmp_path / "earlier.html"))
    assert earlier["outputs"][0]["old"]["maximum"] == pytest.approx(5.0)
    with pytest.raises(FeatureNotFound, match="prediction view 'tips' has no version 3; it has 1, 2"):
        store.reports.compare("tips", (1, 3))


def test_served_features_are_held_against_the_training_set(store: FeatureStore, tmp_path: Path) -> None:
    view = store.manifest.prediction_views["tips"]
    schema = arrow_schema(served_fields(view))
    row = {"served_request": "a", "served_status": "CACHED", "model_name": "tip", "model_version": "2"}
    rows = [
        {**row, "driver_id": driver, "tip": 1.0, "served_at": day(1, hour=hour), "served_row": 0, "is_shadow": False}
        for driver, hour in ((1, 3), (1, 26), (2, 4))
    ]
    folder = Path(store.settings.offline_root) / served_landing(view)
    folder.mkdir(parents=True)
    full = [{field.name: row.get(field.name) for field in schema} for row in rows]
    pq.write_table(pa.Table.from_pylist(full, schema=schema), folder / "rows.parquet")
    spine = pa.table({"driver_id": [1, 2], "event_timestamp": [day(1, hour=2)] * 2})
    training = tmp_path / "training.parquet"
    pq.write_table(store.get_historical_features(spine, ["ride_stats:distance_2d"]).to_arrow(), training)
    found = read(store.reports.monitor("tips", training=training, start=day(0), end=day(3)))
    assert (found["served"], list(found["features"])) == (3, ["distance_2d"])
    drift = found["features"]["distance_2d"]
    assert (drift["reference_rows"], drift["rows"]) == (2, 3) and drift["psi"] > 0
