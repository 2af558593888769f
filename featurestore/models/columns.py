"""Arrays by name turned into what a model takes, and what it gives back into arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featurestore.ir.nodes import ModelFileNode, ModelOutputNode, ModelServerNode
from featurestore.models.base import Arrays, ModelMismatch

__all__ = ["float_matrix", "named_columns", "pick_outputs"]

_Mapped = ModelFileNode | ModelServerNode
"""What maps features to a model's inputs, and a view's outputs to what it gives."""


def named_columns(model: _Mapped, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Give the inputs under the model's names, in its order; masked values are filled: None, or NaT."""
    columns = {}
    for name, feature in model.inputs:
        if feature not in inputs:
            raise ModelMismatch(f"there is no input {feature!r}; found {', '.join(inputs) or 'none'}")
        columns[name] = _unmasked(inputs[feature])
    return columns


def float_matrix(model: _Mapped, inputs: Arrays, dtype: str = "float64") -> np.ndarray[Any, Any]:
    """Give a matrix (n, features) in the model's order, NaN where there is no value."""
    columns = named_columns(model, inputs)
    for name, values in columns.items():
        is_number = values.dtype.kind in "biuf" or all(isinstance(v, bool) or v is None for v in values.tolist())
        if not is_number:
            raise ModelMismatch(
                f"input {name!r} has type {values.dtype}; a matrix holds numbers: leave it out by inputs=, or turn it "
                "into a number by an on-demand view"
            )
    if not columns:
        raise ModelMismatch("the model has no input to make a matrix of")
    return np.column_stack([values.astype(dtype) for values in columns.values()])


def pick_outputs(model: _Mapped, found: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Take the view's outputs from what the model gave; ``""`` is the name of what has none."""
    arrays = {name: _as_array(value) for name, value in found.items()}
    return {output.feature: _pick(output, place, arrays) for place, output in enumerate(model.outputs)}


def _pick(output: ModelOutputNode, place: int, arrays: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    is_named = output.name is not None or output.feature in arrays
    name = output.name if output.name is not None else output.feature if is_named else ""
    if not is_named and "" not in arrays and len(arrays) == 1:
        name = next(iter(arrays))
    if name not in arrays:
        raise ModelMismatch(
            f"gives {_describe(arrays)}, and nothing for output {output.feature!r}; say where it is, such as "
            f"outputs={{{output.feature!r}: {_example(arrays)!r}}}"
        )
    array = arrays[name]
    if array.ndim == 1:
        if output.column or (not is_named and place):
            column = output.column if output.column is not None else place
            raise ModelMismatch(f"gives one column, and output {output.feature!r} is taken from column {column}")
        return array
    if array.ndim != 2:
        raise ModelMismatch(f"gives an array of shape {array.shape}; valid is one row of numbers for each entity")
    column = output.column if output.column is not None else 0 if is_named and array.shape[1] == 1 else place
    if output.column is None and is_named and array.shape[1] > 1:
        raise ModelMismatch(
            f"gives {array.shape[1]} columns under {name!r}; say which is output {output.feature!r}, such as "
            f"outputs={{{output.feature!r}: {f'{name}[{array.shape[1] - 1}]'!r}}}"
        )
    if column >= array.shape[1]:
        raise ModelMismatch(
            f"gives {array.shape[1]} columns, and output {output.feature!r} is taken from column {column}"
        )
    chosen: np.ndarray[Any, Any] = array[:, column]
    return chosen


def _as_array(value: Any) -> np.ndarray[Any, Any]:
    """Read an array, or a list of rows; rows that are mappings (ONNX's ZipMap) have their values in key order."""
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        keys = list(value[0])
        value = [[row[key] for key in keys] for row in value]
    return np.asarray(value)


def _unmasked(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not isinstance(values, np.ma.MaskedArray):
        return values
    data: np.ndarray[Any, Any] = np.asarray(values.data)
    mask = np.ma.getmaskarray(values)
    if data.dtype.kind == "M":
        return np.where(mask, np.datetime64("NaT"), data)
    filled = data.astype(object)
    filled[mask] = None
    return filled


def _describe(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    return ", ".join(f"{name or 'an unnamed array'} {array.shape}" for name, array in arrays.items()) or "nothing"


def _example(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str | int:
    for name, array in reversed(list(arrays.items())):
        if name:
            return f"{name}[{array.shape[1] - 1}]" if array.ndim == 2 and array.shape[1] > 1 else name
    return 0
