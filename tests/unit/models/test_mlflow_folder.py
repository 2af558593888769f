"""MLflow model folders: data frames, matrices and tensors by their signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from featurestore.errors import InferenceFailed
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from tests.support.model_files import stored

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # advice of MLflow's on saving models

INPUTS = {"rate": np.array([0.5, 0.25]), "clicks": np.array([3, 19])}


def save(path: Path, inputs: Schema | None) -> Path:
    signature = None if inputs is None else ModelSignature(inputs=inputs)
    mlflow.pyfunc.save_model(str(path), loader_module="tests.support.mlflow_sum", signature=signature)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns = Schema([ColSpec("double", "rate"), ColSpec("long", "n")])
    return save(tmp_path_factory.mktemp("repo") / "frames", columns)


def predict(path: Path, arrays: Any = None, **overrides: Any) -> Any:
    node = stored(path.parent, path, **overrides)
    return LocalModels(files=ModelFiles(path.parent)).predict(node, arrays or INPUTS)


def test_a_data_frame_has_the_signatures_names_and_types(frames: Path) -> None:
    inputs = (("n", "clicks"), ("rate", "rate"))
    found = predict(frames, inputs=inputs, outputs=("score", "types"))
    assert found["score"].tolist() == [3.5, 19.25]
    assert found["types"].tolist() == ["rate:float64,n:int64"] * 2


def test_a_missing_column_is_told(frames: Path) -> None:
    with pytest.raises(InferenceFailed, match="takes the inputs rate, n; the view has no n: read these features"):
        predict(frames)


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, 1), name) for name in ("clicks", "rate")]),
    ],
    ids=["no signature", "a matrix", "tensors by name"],
)
def test_other_signatures_get_what_they_say(tmp_path: Path, inputs: Schema | None) -> None:
    assert predict(save(tmp_path / "model", inputs))["score"].tolist() == [3.5, 19.25]


def test_a_null_in_a_whole_number_column_is_the_models_error(frames: Path) -> None:
    holed = {"rate": np.array([0.5]), "clicks": np.array([np.nan])}
    with pytest.raises(InferenceFailed, match=r"\(frames\) raised MlflowException: .*n"):
        predict(frames, holed, inputs=(("n", "clicks"), ("rate", "rate")))
