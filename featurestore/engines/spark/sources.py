"""Sources as DataFrames: the pinned state, columns named and typed as the manifest says, instants in microseconds."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.engines.base import SourcePin
from featurestore.engines.spark.schema import checked_cast, is_castable, spark_type, struct_of
from featurestore.errors import DefinitionError, Problem, SchemaMismatch, StateError
from featurestore.filesystems import open_files
from featurestore.ir.ddl import quote, spark_ddl
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode, SourceNode
from featurestore.spec.dtypes import Array, Map, Timestamp, show_dtype

__all__ = ["conform_delta", "read_source"]

_FOOTER_READERS = 16


def read_source(spark: SparkSession, source: SourceNode, pin: SourcePin, *, resolve: Callable[[str], str]) -> DataFrame:
    """Give the pinned rows with exactly the columns of ``source.schema``.

    Parquet instants may have any unit: nanoseconds are cut to microseconds. CSV and JSON values are parsed by the
    declared types, and a value that is not of its type fails the query, naming source and column. SchemaMismatch
    lists all columns that are missing or of another kind.
    """
    match source:
        case FileSourceNode(format="parquet"):
            return _conformed(source, _read_parquet(spark, source, _pinned_files(source, pin, resolve), resolve))
        case FileSourceNode(format="csv"):
            files = _pinned_files(source, pin, resolve)
            return _parsed(source, _read_csv(spark, source, files))
        case FileSourceNode():
            files = _pinned_files(source, pin, resolve)
            return _parsed(source, _read_json(spark, source, files))
        case DeltaSourceNode():
            return _conformed(source, _read_delta(spark, source, int(pin.state["version"]), resolve))
        case _:
            message = f"{type(source).__name__} has no batch rows to read; read its batch source"
            raise DefinitionError([Problem(location="sources", object=source.name, message=message)])


def _file_names(source: FileSourceNode | DeltaSourceNode) -> dict[str, str]:
    """Give each column's name in the files by its name in views."""
    original = {renamed: name for name, renamed in source.field_mapping}
    return {field.name: original.get(field.name, field.name) for field in source.schema}


def _pinned_files(source: FileSourceNode, pin: SourcePin, resolve: Callable[[str], str]) -> list[str]:
    """Give the addresses of the pinned files; StateError when one has changed or gone since."""
    address = resolve(source.path)
    filesystem, base = open_files(address)
    pinned = {name: (size, mtime_ns) for name, size, mtime_ns in pin.state["files"]}
    infos = filesystem.get_file_info([f"{base}/{name}" if name else base for name in pinned])
    changed = [
        info.path for info, state in zip(infos, pinned.values(), strict=True) if (info.size, info.mtime_ns) != state
    ]
    if changed:
        raise StateError(
            f"source {source.name!r}: {len(changed)} file(s) changed after the run pinned them, first {changed[0]}; "
            "write new files instead of changing old ones, and run again",
            source=source.name,
            files=changed[:100],
        )
    return [f"{address}/{name}" if name else address for name in pinned]


def _read_parquet(
    spark: SparkSession, source: FileSourceNode, files: Sequence[str], resolve: Callable[[str], str]
) -> DataFrame:
    names = _file_names(source)
    instants = {names[field.name] for field in source.schema if field.dtype == Timestamp}
    groups: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    with ThreadPoolExecutor(_FOOTER_READERS) as pool:
        for file, nanos in zip(files, pool.map(_nanosecond_columns, files), strict=True):
            groups[nanos & instants].append(file)
    if not groups:
        return spark.createDataFrame(
            [], struct_of([FieldNode(name=names[f.name], dtype=f.dtype) for f in source.schema])
        )
    reader = spark.read if files == [resolve(source.path)] else spark.read.option("basePath", resolve(source.path))
    frames = [
        reader.parquet(*group).withColumns({name: _from_nanos(F.col(quote(name))) for name in sorted(nanos)})
        for nanos, group in sorted(groups.items(), key=lambda entry: sorted(entry[0]))
    ]
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


def _nanosecond_columns(file: str) -> frozenset[str]:
    filesystem, path = open_files(file)
    schema = pq.read_schema(path, filesystem=filesystem)
    return frozenset(
        column.name for column in schema if pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    )


def _from_nanos(nanos: Column) -> Column:
    micros = F.call_function("div", nanos - F.pmod(nanos, F.lit(1000)), F.lit(1000))
    return F.timestamp_micros(micros)


def _read_csv(spark: SparkSession, source: FileSourceNode, files: Sequence[str]) -> DataFrame:
    if not files:
        names = _file_names(source)
        return spark.createDataFrame([], T.StructType([T.StructField(n, T.StringType()) for n in names.values()]))
    reader = spark.read.option("header", True).option("enforceSchema", False).option("mode", "FAILFAST")
    return reader.csv(list(files))


def _read_json(spark: SparkSession, source: FileSourceNode, files: Sequence[str]) -> DataFrame:
    """Read scalars as text, to parse them as strictly as CSV, and nested values by their declared types."""
    names = _file_names(source)
    schema = T.StructType(
        [
            T.StructField(
                names[field.name], spark_type(field.dtype) if _is_nested(field) else T.StringType(), nullable=True
            )
            for field in source.schema
        ]
    )
    if not files:
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).option("mode", "FAILFAST").json(list(files))


def _read_delta(spark: SparkSession, source: DeltaSourceNode, version: int, resolve: Callable[[str], str]) -> DataFrame:
    reader = spark.read.format("delta").option("versionAsOf", version)
    frame = reader.table(source.table or "") if source.path is None else reader.load(resolve(source.path))
    if source.query is None:
        return frame
    view = f"source_{uuid.uuid4().hex}"
    frame.createOrReplaceTempView(view)
    try:
        return spark.sql(source.query.replace("{table}", view))
    finally:
        spark.catalog.dropTempView(view)


def _is_nested(field: FieldNode) -> bool:
    return isinstance(field.dtype, Array | Map)


def _refuse_missing(source: FileSourceNode | DeltaSourceNode, frame: DataFrame) -> list[Problem]:
    found = {name.lower() for name in frame.columns}
    return [
        Problem(
            location=f"source {source.name!r}",
            object=name,
            message=f"the column is missing; found {', '.join(sorted(frame.columns))}; "
            "correct the schema or the field_mapping, or land the column",
        )
        for name in _file_names(source).values()
        if name.lower() not in found
    ]


def conform_delta(source: DeltaSourceNode, frame: DataFrame, more: Mapping[str, Column]) -> DataFrame:
    """Give a Delta source's columns as ``read_source`` does, and ``more`` of the same rows."""
    return _conformed(source, frame, more)


def _conformed(
    source: FileSourceNode | DeltaSourceNode, frame: DataFrame, more: Mapping[str, Column] | None = None
) -> DataFrame:
    problems = _refuse_missing(source, frame)
    names = _file_names(source)
    types = {field.name.lower(): field.dataType for field in frame.schema}
    columns: list[Column] = []
    for field in source.schema:
        name, wanted = names[field.name], spark_type(field.dtype)
        found = types.get(name.lower(), wanted)
        if not is_castable(found, wanted) and not _is_partition_text(found, wanted, source):
            message = (
                f"found {found.simpleString()}, valid is {show_dtype(field.dtype)}; correct the schema or the data"
            )
            problems.append(Problem(location=f"source {source.name!r}", object=name, message=message))
        what = f"source {source.name!r}, column {name!r}"
        columns.append(checked_cast(F.col(quote(name)), found, wanted, what=what).alias(field.name))
    if problems:
        raise SchemaMismatch(problems)
    return frame.select(*columns, *(column.alias(name) for name, column in (more or {}).items()))


def _is_partition_text(found: T.DataType, wanted: T.DataType, source: FileSourceNode | DeltaSourceNode) -> bool:
    """Say whether a text column may be parsed: folder names (``day=2026-01-01``) have no type of their own."""
    is_text = isinstance(found, T.StringType) and isinstance(source, FileSourceNode)
    return is_text and isinstance(wanted, T.DateType | T.IntegerType | T.LongType)


def _parsed(source: FileSourceNode, frame: DataFrame) -> DataFrame:
    problems = _refuse_missing(source, frame)
    if problems:
        raise SchemaMismatch(problems)
    names = _file_names(source)
    columns: list[Column] = []
    for field in source.schema:
        text, wanted = F.col(quote(names[field.name])), spark_type(field.dtype)
        found = frame.schema[names[field.name]].dataType
        if _is_nested(field) and isinstance(found, T.StringType):
            text, found = F.from_json(text, spark_ddl(field.dtype), {"mode": "FAILFAST"}), wanted
        what = f"source {source.name!r}, column {names[field.name]!r}"
        columns.append(checked_cast(text, found, wanted, what=what).alias(field.name))
    return frame.select(*columns)
