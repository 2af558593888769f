"""Resolve a user function by its path, run it on arrays, and hold it to the schema it declares."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np

from featurestore.errors import OnDemandFailed
from featurestore.ir.nodes import CodeRef, FieldNode, OnDemandViewNode
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input, python_values, read_column

__all__ = [
    "CodeNotFound",
    "Resolve",
    "apply_on_demand",
    "check_outputs",
    "find_function",
    "resolve",
    "resolve_code",
    "run_on_demand",
]


class CodeNotFound(OnDemandFailed, LookupError):
    """The path of a user function names nothing that can be imported and called."""


Resolve = Callable[[CodeRef], Callable[..., Any]]
"""Gives the function that a reference means; CodeNotFound or StateError where it is not there."""


@functools.lru_cache(maxsize=1024)
def resolve(path: str) -> Callable[..., Any]:
    """Import the function that ``"module:qualname"`` names; what a decorator made of it is unwrapped.

    Cached by path: a process that runs by it serves one version of its code.
    """
    return find_function(path, importlib.import_module)


def resolve_code(code: CodeRef) -> Callable[..., Any]:
    """Import the function by its path alone."""
    return resolve(code.path)


def find_function(path: str, load: Callable[[str], Any]) -> Callable[..., Any]:
    """Find the function that ``"module:qualname"`` names in the module that ``load`` gives."""
    module_name, separator, qualname = path.partition(":")
    if not (module_name and separator and qualname):
        raise CodeNotFound(
            f"{path!r} names no function; write module:function, such as definitions.models:load", path=path
        )
    try:
        found: Any = load(module_name)
    except ImportError as error:
        raise CodeNotFound(
            f"cannot import {module_name!r} for {path!r}: {error}; put the folder or zip of the definitions on the "
            "import path (code_path=)",
            path=path,
        ) from error
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise CodeNotFound(
                f"module {module_name!r} has no {qualname!r}, which {path!r} names", path=path
            ) from error
    found = getattr(found, "function", None) or found
    if not callable(found):
        raise CodeNotFound(f"{path!r} is a {type(found).__name__}; valid is a function", path=path)
    return found  # type: ignore[no-any-return]


def apply_on_demand(
    view: OnDemandViewNode, columns: Mapping[str, np.ndarray[Any, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Run the view's function on input arrays; give one array for each feature, masked where values are null.

    ``columns`` are as ``arrays.function_input`` makes them: float64 with NaN for null numbers, else masked arrays.
    """
    inputs = {name: _column_of(array) for name, array in columns.items()}
    outputs = run_on_demand(view, inputs)
    return {
        name: values if valid is None else np.ma.MaskedArray(values, mask=~valid)
        for name, (values, valid) in outputs.items()
    }


def run_on_demand(
    view: OnDemandViewNode, inputs: Mapping[str, Column], resolve: Resolve = resolve_code
) -> dict[str, Column]:
    """Run the view's function on columns and check its answer; OnDemandFailed names view, function and output.

    A NaN that a numpy or pandas function gives in a row where an input is null means null.
    """
    function = resolve(view.code)
    count = len(next(iter(inputs.values()))[0]) if inputs else 0
    owner = f"on-demand view {view.name!r} ({view.code.path})"
    try:
        found = _call(view, function, inputs, count)
    except Exception as error:  # user code may raise anything; it is told with its owner's name
        raise OnDemandFailed(
            f"{owner} raised {type(error).__name__}: {error}", view=view.name, function=view.code.path
        ) from error
    try:
        outputs = check_outputs(view.features, found, count)
    except ValueMismatch as error:
        raise OnDemandFailed(f"{owner}: {error}", view=view.name, function=view.code.path) from error
    if view.mode == "python":
        return outputs
    return _null_where_unknown(outputs, inputs)


def check_outputs(fields: Sequence[FieldNode], found: Any, count: int) -> dict[str, Column]:
    """Read what a function or model gave as columns of ``fields``: same names, length and types, else ValueMismatch."""
    if not isinstance(found, Mapping):
        raise ValueMismatch(f"gave {type(found).__name__}; valid is a mapping of output name to array")
    names = [field.name for field in fields]
    if set(found) != set(names):
        raise ValueMismatch(f"gave the outputs {sorted(map(str, found))}; valid are {sorted(names)}")
    outputs = {}
    for field in fields:
        try:
            outputs[field.name] = read_column(field.dtype, found[field.name], count=count)
        except ValueMismatch as error:
            raise ValueMismatch(f"output {field.name!r}: {error}") from error
    return outputs


def _call(view: OnDemandViewNode, function: Callable[..., Any], inputs: Mapping[str, Column], count: int) -> Any:
    match view.mode:
        case "numpy":
            return function({name: function_input(column) for name, column in inputs.items()})
        case "pandas":
            return _call_pandas(view, function, inputs)
        case "python":
            return _call_python(view, function, inputs, count)
        case _:
            assert_never(view.mode)


def _call_python(
    view: OnDemandViewNode, function: Callable[..., Any], inputs: Mapping[str, Column], count: int
) -> dict[str, list[Any]]:
    names = list(inputs)
    valid = {field.name for field in view.features}
    outputs: dict[str, list[Any]] = {name: [] for name in valid}
    lists = [python_values(column) for column in inputs.values()]
    for row in range(count):
        found = function({name: values[row] for name, values in zip(names, lists, strict=True)})
        if not isinstance(found, Mapping) or set(found) != valid:
            shown = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            raise ValueMismatch(f"gave {shown} for row {row}; valid is a mapping with {sorted(valid)}")
        for name, value in found.items():
            outputs[name].append(value)
    return outputs


def _call_pandas(view: OnDemandViewNode, function: Callable[..., Any], inputs: Mapping[str, Column]) -> dict[str, Any]:
    import pandas as pd

    frame = pd.DataFrame({name: _series_values(column) for name, column in inputs.items()})
    found = function(frame)
    if not isinstance(found, pd.DataFrame):
        raise ValueMismatch(f"gave {type(found).__name__}; valid is a pandas DataFrame")
    return {str(name): _from_series(found[name]) for name in found.columns}


def _series_values(column: Column) -> Any:
    import pandas as pd

    array = function_input(column)
    if column[0].dtype.kind == "M":
        return pd.to_datetime(np.ma.filled(array, np.datetime64("NaT")).astype("datetime64[us]"), utc=True)
    if not isinstance(array, np.ma.MaskedArray):
        return array
    objects = array.data.astype(object)
    objects[np.ma.getmaskarray(array)] = None
    return objects


def _from_series(series: Any) -> Any:
    import pandas as pd

    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    nulls = series.isna().to_numpy()
    if not nulls.any() or series.dtype.kind == "f":
        return series.to_numpy()
    return np.ma.MaskedArray(series.astype(object).to_numpy(), mask=nulls)


def _column_of(array: np.ndarray[Any, Any]) -> Column:
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        return np.asarray(array.data), ~mask if bool(mask.any()) else None
    return array, None


def _null_where_unknown(outputs: dict[str, Column], inputs: Mapping[str, Column]) -> dict[str, Column]:
    known: np.ndarray[Any, Any] | None = None
    for values, valid in inputs.values():
        usable = valid
        if values.dtype.kind == "f":
            nan = np.isnan(values)
            usable = (~nan if valid is None else valid & ~nan) if bool(nan.any()) else valid
        if usable is not None:
            known = usable if known is None else known & usable
    if known is None:
        return outputs
    for name, (values, valid) in outputs.items():
        if values.dtype.kind == "f":
            keep = known | ~np.isnan(values)
            if not bool(keep.all()):
                outputs[name] = values, keep if valid is None else valid & keep
    return outputs
