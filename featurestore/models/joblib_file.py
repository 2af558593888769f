"""Models stored by joblib or pickle: scikit-learn estimators, and whatever has their methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featurestore.ir.nodes import ModelFileNode
from featurestore.models.base import Arrays, ModelMismatch
from featurestore.models.columns import float_matrix, named_columns, pick_outputs

__all__ = ["JoblibModel"]


class JoblibModel:
    """An estimator that takes a matrix, or, when it was fitted on named columns, a data frame."""

    def __init__(self, model: ModelFileNode, path: Path) -> None:
        import joblib

        self._model = model
        self._estimator = joblib.load(path)
        self._call = getattr(self._estimator, model.method, None)
        if not callable(self._call):
            raise ModelMismatch(f"holds a {type(self._estimator).__name__}, which has no {model.method}()")
        names = getattr(self._estimator, "feature_names_in_", None)
        self._names = None if names is None else [str(name) for name in names]
        self._check()

    def predict(self, inputs: Arrays) -> Any:
        found = self._call(self._arguments(inputs))  # type: ignore[misc]
        if self._model.method == "predict_proba" and len(self._model.outputs) == 1 and found.shape[1] == 2:
            only = self._model.outputs[0]
            if only.name is None and only.column is None:
                return {only.feature: found[:, 1]}  # of two classes the second: the probability of "yes"
        return pick_outputs(self._model, {"": found})

    def _arguments(self, inputs: Arrays) -> Any:
        if self._names is None:
            return float_matrix(self._model, inputs)
        import pandas as pd

        columns = named_columns(self._model, inputs)
        return pd.DataFrame({name: columns[name] for name in self._names})

    def _check(self) -> None:
        given = [name for name, _ in self._model.inputs]
        if self._names is not None:
            if missing := [name for name in self._names if name not in given]:
                raise ModelMismatch(
                    f"was fitted on the columns {', '.join(self._names)}; the view has no {', '.join(missing)}: "
                    "read these features, or map names by inputs={column: feature}"
                )
            return
        width = getattr(self._estimator, "n_features_in_", None)
        if width is not None and width != len(given):
            raise ModelMismatch(
                f"was fitted on {width} columns and gets {len(given)}: {', '.join(given)}; "
                "name the features in its order by inputs=[...]"
            )
