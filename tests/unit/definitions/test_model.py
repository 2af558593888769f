"""The example models: the stored one answers for every row, and training is repeatable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from definitions.flights.model import FEATURES, load
from definitions.flights.train import MODELS, fit, store_model
from definitions.web.model import load as load_clicks


def training_rows(count: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = pd.DataFrame({name: random.random(count) for name in FEATURES})
    return rows.assign(late=(rows.late_rate + random.random(count) > 1).astype("int64"))


def test_the_stored_model_gives_a_probability_for_every_row() -> None:
    inputs = {name: np.array([0.2, np.nan, 1e6]) for name in FEATURES}
    found = load().predict(inputs)["probability_late"]
    assert found.shape == (3,)
    assert ((found >= 0) & (found <= 1)).all()


def test_the_stored_model_says_what_it_was_trained_on() -> None:
    card = json.loads((MODELS / "late_arrival-1.json").read_text())
    assert card["features"] == list(FEATURES)
    assert card["version"] == "1"
    assert card["rows"] > 1_000
    assert 0.5 < card["holdout_auc"] < 1


def test_the_same_rows_train_the_same_model(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        classifier, measured = fit(training_rows())
        paths.append(store_model(classifier, measured, "9", tmp_path / str(number)))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert measured["holdout_auc"] > 0.7


def test_a_null_label_column_type_is_what_training_sets_have() -> None:
    rows = training_rows().astype({"late": "Int64", "flights_30d": "Float64"})
    assert fit(rows)[1]["rows"] == len(rows)


def test_the_click_model_is_a_probability() -> None:
    names = ("click_through_rate", "number_of_clicks", "average_page_duration")
    score = load_clicks().predict({name: np.array([0.0, 1.0, np.nan]) for name in names})["score"]
    assert ((score > 0) & (score < 1)).all()
