"""ONNX models, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featurestore.ir.nodes import ModelFileNode
from featurestore.models.base import Arrays, ModelMismatch
from featurestore.models.columns import float_matrix, named_columns, pick_outputs

__all__ = ["OnnxModel"]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class OnnxModel:
    """A session that takes one tensor for each input name, or one matrix of all features.

    It runs on one thread: Spark has a worker for each core, and a lookup's few rows do not split.
    """

    def __init__(self, model: ModelFileNode, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = model
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        names = [name for name, _ in model.inputs]
        wanted = [given.name for given in self._inputs]
        self._is_matrix = not set(wanted) <= set(names)
        if self._is_matrix and len(wanted) != 1:
            missing = ", ".join(sorted(set(wanted) - set(names)))
            raise ModelMismatch(
                f"takes the inputs {', '.join(wanted)}; the view has no {missing}: read these features, or map names "
                "by inputs={input: feature}"
            )
        if self._is_matrix and isinstance(width := self._inputs[0].shape[-1], int) and width != len(names):
            raise ModelMismatch(
                f"takes a matrix of {width} columns and gets {len(names)}: {', '.join(names)}; "
                "name the features in its order by inputs=[...]"
            )
        self._outputs = self._wanted_outputs([given.name for given in self._session.get_outputs()])

    def predict(self, inputs: Arrays) -> Any:
        found = self._session.run(self._outputs, self._feeds(inputs))
        return pick_outputs(self._model, dict(zip(self._outputs, found, strict=True)))

    def _wanted_outputs(self, given: list[str]) -> list[str]:
        """Name the outputs to run: those that are taken, or all where that is told only by what they give."""
        wanted = [output.name or output.feature for output in self._model.outputs]
        return list(dict.fromkeys(wanted)) if set(wanted) <= set(given) else given

    def _feeds(self, inputs: Arrays) -> dict[str, Any]:
        if self._is_matrix:
            only = self._inputs[0]
            return {only.name: float_matrix(self._model, inputs, _DTYPES.get(only.type, "float32"))}
        columns = named_columns(self._model, inputs)
        return {given.name: _tensor(given, columns[given.name]) for given in self._inputs}


def _tensor(given: Any, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    dtype = _DTYPES.get(given.type)
    if dtype is None:
        raise ModelMismatch(f"input {given.name!r} has type {given.type}; valid are {', '.join(_DTYPES)}")
    has_nulls = values.dtype == object and any(value is None for value in values.tolist())
    if dtype in ("int64", "int32", "bool") and values.dtype.kind == "f":
        has_nulls = bool(np.isnan(values).any())
    if has_nulls:
        raise ModelMismatch(
            f"input {given.name!r} of type {given.type} has no way to say null; fill nulls by an on-demand view"
        )
    cast = values.astype(dtype)
    return cast.reshape(-1, 1) if len(given.shape) == 2 else cast
