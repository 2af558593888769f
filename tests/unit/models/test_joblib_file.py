"""scikit-learn models from joblib files: a matrix in order, or named columns; outputs by place."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import ModelOutputNode
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from tests.support.model_files import classifier, regression, stored, training_rows, write_joblib

INPUTS = {"rate": np.array([0.1, 0.9]), "clicks": np.array([3, 19])}
MATRIX = np.array([[3.0, 0.1], [19.0, 0.9]])


def predict(repo: Path, model: Any, arrays: Any = None, **overrides: Any) -> Any:
    node = stored(repo, write_joblib(repo / "models" / "ctr.joblib", model), **overrides)
    return LocalModels(files=ModelFiles(repo)).predict(node, arrays or INPUTS)


def test_the_matrix_has_the_models_order_whatever_order_the_features_come_in(tmp_path: Path) -> None:
    found = predict(tmp_path, regression(), outputs=("sum", "difference"))
    assert found["sum"] == pytest.approx([3.1, 19.9])
    assert found["difference"] == pytest.approx([2.9, 18.1])


def test_one_output_of_two_classes_is_the_probability_of_the_second(tmp_path: Path) -> None:
    model = classifier()
    found = predict(tmp_path, model, method="predict_proba")
    assert found["score"] == pytest.approx(model.predict_proba(MATRIX)[:, 1])
    first = predict(tmp_path, model, method="predict_proba", outputs=(ModelOutputNode(feature="score", column=0),))
    assert first["score"] == pytest.approx(model.predict_proba(MATRIX)[:, 0])
    both = predict(tmp_path, model, method="predict_proba", outputs=("no", "yes"))
    assert both["no"] + both["yes"] == pytest.approx([1.0, 1.0])


def test_a_model_fitted_on_named_columns_gets_them_by_name(tmp_path: Path) -> None:
    model = classifier(named=True)
    renamed = {"n": INPUTS["clicks"], "rate": INPUTS["rate"]}
    found = predict(tmp_path, model, renamed, method="predict_proba", inputs=(("rate", "rate"), ("clicks", "n")))
    assert found["score"] == pytest.approx(classifier().predict_proba(MATRIX)[:, 1])


def test_text_columns_reach_a_pipeline_as_they_are_and_nulls_are_nan(tmp_path: Path) -> None:
    import pandas as pd

    rows, labels = training_rows()
    frame = pd.DataFrame({"clicks": rows[:, 0], "city": np.where(labels, "Ulm", "Bonn")})
    encode = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    model = make_pipeline(encode, HistGradientBoostingClassifier()).fit(frame, labels)
    cities = np.ma.MaskedArray(np.array(["Ulm", "Bonn", ""], dtype=object), mask=[False, False, True])
    inputs = {"clicks": np.array([5.0, 5.0, np.nan]), "city": cities}
    found = predict(tmp_path, model, inputs, inputs=(("clicks", "clicks"), ("city", "city")))
    assert found["score"].tolist()[:2] == [1, 0]


def test_a_pickled_object_with_the_method_is_enough(tmp_path: Path) -> None:
    (tmp_path / "plain.joblib").write_bytes(pickle.dumps(classifier()))
    node = stored(tmp_path, tmp_path / "plain.joblib")
    assert LocalModels(files=ModelFiles(tmp_path)).predict(node, INPUTS)["score"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        (classifier(), {"inputs": (("clicks", "clicks"),)}, "was fitted on 2 columns and gets 1: clicks"),
        (
            classifier(named=True),
            {"inputs": (("clicks", "clicks"), ("ctr", "rate"))},
            "was fitted on the columns clicks, rate; the view has no rate",
        ),
        ({"a": 1}, {}, r"holds a dict, which has no predict\(\)"),
        (regression(), {"method": "predict_proba"}, r"LinearRegression, which has no predict_proba\(\)"),
        (regression(), {"outputs": (ModelOutputNode(feature="s", column=2),)}, "gives 2 columns, and output 's' is"),
        (classifier(), {"outputs": ("a", "b")}, "gives one column, and output 'b' is taken from column 1"),
    ],
)
def test_what_does_not_fit_is_told_with_the_models_name(
    tmp_path: Path, model: Any, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InferenceFailed, match=rf"^model 'ctr' version '3' \(models/ctr.joblib\) .*{message}"):
        predict(tmp_path, model, **overrides)


def test_a_feature_that_is_no_number_is_told(tmp_path: Path) -> None:
    inputs = {**INPUTS, "rate": np.array(["a", "b"], dtype=object)}
    with pytest.raises(InferenceFailed, match="input 'rate' has type object; a matrix holds numbers"):
        predict(tmp_path, classifier(), inputs)


def test_a_bool_with_nulls_is_a_number_too(tmp_path: Path) -> None:
    inputs = {**INPUTS, "rate": np.ma.MaskedArray(np.array([True, False]), mask=[False, True])}
    found = predict(tmp_path, HistGradientBoostingClassifier().fit(*training_rows()), inputs)
    assert len(found["score"]) == 2
