"""MLflow model folders, through the flavour that every one of them has: pyfunc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featurestore.ir.nodes import ModelFileNode
from featurestore.models.base import Arrays, ModelMismatch
from featurestore.models.columns import float_matrix, named_columns, pick_outputs

__all__ = ["MlflowModel"]


class MlflowModel:
    """A pyfunc model: its signature says whether it takes a data frame, one matrix, or tensors by name."""

    def __init__(self, model: ModelFileNode, path: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow.pyfunc

        self._model = model
        self._pyfunc = mlflow.pyfunc.load_model(str(path))
        self._schema = self._pyfunc.metadata.get_input_schema()
        given = [name for name, _ in model.inputs]
        wanted = [] if self._schema is None or not self._schema.has_input_names() else self._schema.input_names()
        if missing := [name for name in wanted if name not in given]:
            raise ModelMismatch(
                f"takes the inputs {', '.join(wanted)}; the view has no {', '.join(missing)}: read these features, or "
                "map names by inputs={input: feature}"
            )
        self._names = list(wanted) or given

    def predict(self, inputs: Arrays) -> Any:
        return pick_outputs(self._model, _by_name(self._pyfunc.predict(self._arguments(inputs))))

    def _arguments(self, inputs: Arrays) -> Any:
        if self._schema is not None and self._schema.is_tensor_spec():
            if not self._schema.has_input_names():
                return float_matrix(self._model, inputs, str(self._schema.numpy_types()[0]))
            columns = named_columns(self._model, inputs)
            return {spec.name: _tensor(columns[spec.name], spec) for spec in self._schema.inputs}
        import pandas as pd

        columns = named_columns(self._model, inputs)
        return pd.DataFrame({name: columns[name] for name in self._names}).astype(self._types(columns))

    def _types(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.dtype[Any]]:
        """Give the widths that the signature wants, of columns whose kind of number is the same."""
        if self._schema is None or not self._schema.has_input_names():
            return {}
        wanted = dict(zip(self._schema.input_names(), self._schema.numpy_types(), strict=True))
        return {name: wanted[name] for name in self._names if columns[name].dtype.kind == wanted[name].kind != "O"}


def _tensor(values: np.ndarray[Any, Any], spec: Any) -> np.ndarray[Any, Any]:
    cast = values.astype(spec.type)
    return cast.reshape(-1, 1) if len(spec.shape) == 2 else cast


def _by_name(found: Any) -> dict[str, Any]:
    """Read a data frame or mapping by its names, and anything else as one array without a name."""
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items()}
    columns = getattr(found, "columns", None)
    if columns is None:
        return {"": np.asarray(found)}
    named = {str(name): found[name].to_numpy() for name in columns}
    is_named = all(isinstance(name, str) for name in columns)
    return named if is_named else {"": np.asarray(found)}
