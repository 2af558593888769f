"""Small fitted models as files, and their nodes; the first class is 0, the second 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression

from featurestore.ir.content import content_digest
from featurestore.ir.nodes import ModelFileNode, ModelNode, ModelOutputNode

__all__ = ["FEATURES", "classifier", "regression", "stored", "to_onnx", "training_rows", "write_joblib"]

FEATURES = ("clicks", "rate")


def training_rows() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Give a matrix of clicks and rate, and labels that follow from them."""
    random = np.random.default_rng(3)
    matrix = np.column_stack([random.integers(0, 20, 200).astype(np.float64), random.random(200)])
    return matrix, (matrix[:, 0] / 20 + matrix[:, 1] > 1).astype(np.int64)


def classifier(*, named: bool = False) -> LogisticRegression:
    matrix, labels = training_rows()
    return LogisticRegression().fit(pd.DataFrame(matrix, columns=list(FEATURES)) if named else matrix, labels)


def regression() -> LinearRegression:
    """Fit two targets: clicks + rate, and clicks - rate."""
    matrix, _ = training_rows()
    return LinearRegression().fit(matrix, np.column_stack([matrix.sum(axis=1), matrix[:, 0] - matrix[:, 1]]))


def write_joblib(path: Path, model: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, path)
    return path


def to_onnx(path: Path, model: Any, **options: Any) -> Path:
    """Convert to an ONNX file that takes one float matrix, or what ``initial_types`` says."""
    from skl2onnx import to_onnx as convert

    options.setdefault("X", None if "initial_types" in options else training_rows()[0][:1].astype(np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(convert(model, **options).SerializeToString())
    return path


def stored(repo: Path, path: Path, **overrides: Any) -> ModelNode:
    """Make the node of a model file under ``repo``."""
    outputs = overrides.pop("outputs", ("score",))
    values: dict[str, Any] = {
        "path": path.relative_to(repo).as_posix(),
        "digest": content_digest(path),
        "format": {".onnx": "onnx", ".joblib": "joblib", "": "mlflow"}[path.suffix],
        "method": "predict",
        "inputs": tuple((name, name) for name in FEATURES),
        "outputs": tuple(o if isinstance(o, ModelOutputNode) else ModelOutputNode(feature=o) for o in outputs),
    }
    return ModelNode(name="ctr", version="3", load=ModelFileNode(**(values | overrides)))
