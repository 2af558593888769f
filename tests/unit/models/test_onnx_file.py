"""ONNX models: one matrix or inputs by name, outputs by name or column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import ModelOutputNode
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from tests.support.model_files import classifier, regression, stored, to_onnx, training_rows

INPUTS = {"rate": np.array([0.1, 0.9]), "clicks": np.array([3, 19])}
MATRIX = np.array([[3.0, 0.1], [19.0, 0.9]])
YES = (ModelOutputNode(feature="score", name="probabilities", column=1),)


def predict(repo: Path, path: Path, arrays: Any = None, **overrides: Any) -> Any:
    return LocalModels(files=ModelFiles(repo)).predict(stored(repo, path, **overrides), arrays or INPUTS)


def test_a_matrix_model_gets_the_features_in_order(tmp_path: Path) -> None:
    path = to_onnx(tmp_path / "m.onnx", regression())
    found = predict(tmp_path, path, outputs=("sum", "difference"))
    assert found["sum"] == pytest.approx([3.1, 19.9], rel=1e-5)
    assert found["difference"] == pytest.approx([2.9, 18.1], rel=1e-5)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifiers_probabilities_are_a_column_of_a_named_output(tmp_path: Path, zipmap: bool) -> None:
    model = classifier()
    path = to_onnx(tmp_path / "m.onnx", model, options={id(model): {"zipmap": zipmap}})
    name = "output_probability" if zipmap else "probabilities"
    found = predict(tmp_path, path, outputs=(ModelOutputNode(feature="score", name=name, column=1),))
    assert found["score"] == pytest.approx(model.predict_proba(MATRIX)[:, 1], rel=1e-4)
    label = predict(
        tmp_path, path, outputs=(ModelOutputNode(feature="score", name="output_label" if zipmap else "label"),)
    )
    assert label["score"].tolist() == [0, 1]


def by_name(path: Path) -> tuple[Path, Any, Any]:
    """Store a model that takes a number and a text by name."""
    import pandas as pd

    rows, labels = training_rows()
    frame = pd.DataFrame({"clicks": rows[:, 0].astype(np.int64), "city": np.where(rows[:, 1] > 0.5, "Ulm", "Bonn")})
    encode = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(frame, labels)
    types = [("clicks", Int64TensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    to_onnx(path, model, initial_types=types, options={id(model): {"zipmap": False}})
    return path, model, frame


def test_a_model_with_named_inputs_gets_each_in_its_type(tmp_path: Path) -> None:
    path, model, frame = by_name(tmp_path / "m.onnx")
    inputs = {"n": frame.clicks.to_numpy()[:5], "city": frame.city.to_numpy(dtype=object)[:5]}
    named = (("clicks", "n"), ("city", "city"))
    found = predict(tmp_path, path, inputs, inputs=named, outputs=YES)
    assert found["score"] == pytest.approx(model.predict_proba(frame[:5])[:, 1], rel=1e-4)
    for name, values in (("n", np.array([1.0, np.nan])), ("city", np.ma.MaskedArray(["a", "b"], mask=[True, False]))):
        holed = {"n": np.array([1, 2]), "city": np.array(["a", "b"], dtype=object), name: values}
        with pytest.raises(InferenceFailed, match="has no way to say null; fill nulls by an on-demand view"):
            predict(tmp_path, path, holed, inputs=named, outputs=YES)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, r"gives label \(2,\), probabilities \(2, 2\), and nothing for output 'score'.*'probabilities\[1\]'"),
        ({"inputs": (("clicks", "clicks"),)}, "takes a matrix of 2 columns and gets 1: clicks"),
        ({"outputs": (ModelOutputNode(feature="s", name="probabilities"),)}, r"gives 2 columns under 'probabilities'"),
        ({"outputs": (ModelOutputNode(feature="s", name="chance"),)}, "nothing for output 's'"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    model = classifier()
    path = to_onnx(tmp_path / "m.onnx", model, options={id(model): {"zipmap": False}})
    with pytest.raises(InferenceFailed, match=message):
        predict(tmp_path, path, **overrides)


def test_missing_named_inputs_are_told(tmp_path: Path) -> None:
    path, _, _ = by_name(tmp_path / "m.onnx")
    with pytest.raises(InferenceFailed, match="takes the inputs clicks, city; the view has no city"):
        predict(tmp_path, path, outputs=YES)


def test_an_input_of_one_dimension_is_fed_as_such(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    nodes = [helper.make_node("Add", ["clicks", "rate"], ["score"])]
    tensors = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in ("clicks", "rate", "score")]
    graph = helper.make_graph(nodes, "sum", tensors[:2], tensors[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, str(tmp_path / "sum.onnx"))
    assert predict(tmp_path, tmp_path / "sum.onnx")["score"].tolist() == [3.1, 19.9]


def test_a_file_that_is_no_model_is_told_with_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(InferenceFailed, match=r"\(m.onnx\) cannot be loaded as a onnx model: InvalidProtobuf"):
        predict(tmp_path, path)


def test_float_inputs_by_name_may_hold_nan(tmp_path: Path) -> None:
    types = [(name, FloatTensorType([None, 1])) for name in ("clicks", "rate")]
    pipeline = make_pipeline(ColumnTransformer([("all", "passthrough", ["clicks", "rate"])]), regression())
    import pandas as pd

    matrix, _ = training_rows()
    pipeline.fit(pd.DataFrame(matrix, columns=["clicks", "rate"]), matrix.sum(axis=1))
    path = to_onnx(tmp_path / "m.onnx", pipeline, initial_types=types)
    found = predict(tmp_path, path, {"clicks": np.array([1.0, np.nan]), "rate": np.array([0.5, 0.5])})
    assert found["score"][0] == pytest.approx(1.5, rel=1e-5) and np.isnan(found["score"][1])
