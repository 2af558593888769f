"""The columns of a raw source, read from its own metadata: no Spark, no rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

from featurestore.errors import Problem, SchemaMismatch, StateError
from featurestore.filesystems import open_files
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    String,
    Timestamp,
)

__all__ = ["read_source_schema"]

_EXACT: dict[pa.DataType, DType] = {
    pa.int8(): Int32,
    pa.int16(): Int32,
    pa.int32(): Int32,
    pa.int64(): Int64,
    pa.float32(): Float32,
    pa.float64(): Float64,
    pa.bool_(): Bool,
    pa.string(): String,
    pa.large_string(): String,
    pa.string_view(): String,
    pa.binary(): Bytes,
    pa.large_binary(): Bytes,
    pa.binary_view(): Bytes,
    pa.date32(): Date,
    pa.date64(): Date,
}


def read_source_schema(
    source: FileSourceNode | DeltaSourceNode, resolve: Callable[[str], str] = str
) -> tuple[FieldNode, ...]:
    """Read the source's columns, as they are named in its files.

    Delta from its log, Parquet from the footer of one file; a folder's ``name=value`` parts are String columns.
    ``resolve`` makes a definition's path absolute. StateError where nothing can be read, SchemaMismatch with every
    column whose type is no feature type.
    """
    if isinstance(source, DeltaSourceNode):
        schema = _delta_schema(source, resolve)
    elif source.format == "parquet":
        schema = _parquet_schema(source, resolve(source.path))
    else:
        raise StateError(
            f"source {source.name!r}: {source.format} files do not tell their columns' types; declare "
            "schema=[Field(name=..., dtype=...), ...]",
            source=source.name,
        )
    return _fields(source.name, schema)


def _delta_schema(source: DeltaSourceNode, resolve: Callable[[str], str]) -> pa.Schema:
    if source.path is None:
        raise StateError(
            f"source {source.name!r}: the columns of catalogue table {source.table!r} cannot be read without Spark; "
            "give path= instead of table=, or declare schema=[Field(name=..., dtype=...), ...]",
            source=source.name,
        )
    path = resolve(source.path)
    try:
        columns: Any = DeltaTable(path).schema().to_arrow()
    except (DeltaError, OSError) as error:
        raise _unreadable(source.name, "Delta table", path, error) from error
    return pa.schema(columns)


def _parquet_schema(source: FileSourceNode, path: str) -> pa.Schema:
    try:
        files, root = open_files(path)
        file = _any_file(files, root)
        if file is None:
            raise FileNotFoundError("the folder has no data file")
        schema = pq.read_schema(file, filesystem=files)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(source.name, "Parquet data", path, error) from error
    for part in PurePosixPath(file).relative_to(root).parts[:-1]:
        name, is_partition, _ = part.partition("=")
        if is_partition and name not in schema.names:
            schema = schema.append(pa.field(name, pa.string()))
    return schema


def _any_file(files: fs.FileSystem, path: str) -> str | None:
    """Find the data file with the least name; names that start with ``_`` or ``.`` are no data."""
    found = files.get_file_info(path)
    if found.type == fs.FileType.File:
        return path
    selector = fs.FileSelector(path, recursive=True)
    inside = (info for info in files.get_file_info(selector) if info.type == fs.FileType.File and info.size)
    data = (info.path for info in inside if not _is_hidden(PurePosixPath(info.path).relative_to(path)))
    return min(data, default=None)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in path.parts)


def _unreadable(source: str, kind: str, path: str, error: Exception) -> StateError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StateError(
        f"source {source!r}: no {kind} can be read at {path}: {reason}; correct path=, land the data first, or declare "
        "schema=[Field(name=..., dtype=...), ...]",
        source=source,
        path=path,
    )


def _fields(source: str, schema: pa.Schema) -> tuple[FieldNode, ...]:
    fields: list[FieldNode] = []
    problems: list[Problem] = []
    for column in schema:
        dtype = _dtype(column.type)
        if dtype is not None:
            fields.append(FieldNode(name=column.name, dtype=dtype))
            continue
        message = (
            f"is {column.type}, which is no feature type; write it as a signed integer, float, bool, string, binary, "
            "date, timestamp, decimal, list or map, or declare the source's schema without it"
        )
        problems.append(Problem(location=f"source {source}", object=f"column {column.name!r}", message=message))
    if problems:
        raise SchemaMismatch(problems)
    return tuple(fields)


def _dtype(found: pa.DataType) -> DType | None:
    if found in _EXACT:
        return _EXACT[found]
    if pa.types.is_timestamp(found):
        return Timestamp
    if pa.types.is_decimal(found):
        return Decimal(found.precision, found.scale) if found.precision <= 38 and found.scale >= 0 else None
    if pa.types.is_fixed_size_binary(found):
        return Bytes
    if pa.types.is_dictionary(found):
        return _dtype(found.value_type)
    if pa.types.is_map(found):
        key, value = _dtype(found.key_type), _dtype(found.item_type)
        return None if key is None or value is None or isinstance(key, Array | Map) else Map(key, value)
    if pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
        element = _dtype(found.value_type)
        return None if element is None else Array(element)
    return None
