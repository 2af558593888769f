"""The caller's rows as columns: pandas, pyarrow, or a dict of lists, arrays or series. Loads no pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from featurestore.errors import Problem, SchemaMismatch

__all__ = ["Frame", "RawColumn", "read_frame"]

RawColumn: TypeAlias = "pa.Array[Any] | np.ndarray[Any, Any] | list[Any]"


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns of one length, as the caller gave their values."""

    count: int
    columns: Mapping[str, RawColumn]


def read_frame(df: Any) -> Frame:
    """Take a pandas or pyarrow table, or a dict of columns; SchemaMismatch says what is wrong with its shape."""
    columns = {str(name): _column(str(name), values) for name, values in _items(df)}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise SchemaMismatch([_problem("df", f"columns differ in length: {shown}; give one value for each row")])
    return Frame(next(iter(lengths.values()), 0), columns)


def _items(df: Any) -> list[tuple[Any, Any]]:
    if isinstance(df, pa.Table | pa.RecordBatch):
        return list(zip(df.schema.names, df.columns, strict=True))
    if isinstance(df, Mapping):
        return list(df.items())
    if hasattr(df, "to_arrow"):  # polars, duckdb relations, responses of this package
        return _items(df.to_arrow())
    if hasattr(df, "columns") and hasattr(df, "iloc"):
        return [(name, df.iloc[:, place]) for place, name in enumerate(df.columns)]
    raise SchemaMismatch(
        [_problem("df", f"found {type(df).__name__}; valid is a pandas or pyarrow table, or a dict of columns")]
    )


def _column(name: str, values: Any) -> RawColumn:
    if isinstance(values, pa.ChunkedArray):
        return _joined(values)
    if isinstance(values, pa.Array | np.ndarray):
        return values
    if hasattr(values, "array") and hasattr(values, "to_numpy"):
        return _series(values)
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise SchemaMismatch(
            [_problem(name, f"found {type(values).__name__} {values!r}; give a list or array with one value a row")]
        )
    return list(values)


def _series(series: Any) -> RawColumn:
    """Keep what a pandas series says about nulls: NaN of a float column is a value, NA of a nullable one is none."""
    if hasattr(series.array, "__arrow_array__"):
        found = pa.array(series.array)
        return _joined(found) if isinstance(found, pa.ChunkedArray) else found
    array: np.ndarray[Any, Any] = series.to_numpy()
    return array


def _joined(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _problem(name: str, message: str) -> Problem:
    return Problem(location="rows to write", object=name, message=message)
