"""Source schemas are read from metadata alone, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from featurestore.errors import SchemaMismatch, StateError
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.spec.dtypes import show_dtype
from featurestore.stores.source_schema import read_source_schema

TYPES: dict[str, tuple[Any, str]] = {
    "small": (pa.int8(), "int32"),
    "id": (pa.int64(), "int64"),
    "single": (pa.float32(), "float32"),
    "flag": (pa.bool_(), "bool"),
    "name": (pa.large_string(), "string"),
    "code": (pa.dictionary(pa.int32(), pa.string()), "string"),
    "raw": (pa.binary(4), "bytes"),
    "day": (pa.date32(), "date"),
    "at": (pa.timestamp("ns", tz="UTC"), "timestamp"),
    "local": (pa.timestamp("ms"), "timestamp"),
    "price": (pa.decimal128(10, 2), "decimal(10,2)"),
    "tags": (pa.list_(pa.list_(pa.int16())), "array<array<int32>>"),
    "counts": (pa.map_(pa.string(), pa.int64()), "map<string,int64>"),
}


def _file(path: Path, **overrides: object) -> FileSourceNode:
    values = {"name": "clicks", "path": str(path), "format": "parquet", "timestamp_field": "at", "schema": ()}
    return FileSourceNode(**(values | overrides))  # type: ignore[arg-type]


def _table(types: dict[str, Any]) -> pa.Table:
    return pa.schema([pa.field(name, kind) for name, kind in types.items()]).empty_table()


def test_parquet_types_are_mapped(tmp_path: Path) -> None:
    pq.write_table(_table({name: kind for name, (kind, _) in TYPES.items()}), tmp_path / "clicks.parquet")
    fields = read_source_schema(_file(Path("clicks.parquet")), lambda path: str(tmp_path / path))
    assert {field.name: show_dtype(field.dtype) for field in fields} == {
        name: shown for name, (_, shown) in TYPES.items()
    }


def test_a_folder_is_read_by_one_data_file_and_its_partition_names(tmp_path: Path) -> None:
    folder = tmp_path / "clicks" / "day=2026-01-01"
    folder.mkdir(parents=True)
    pq.write_table(_table({"at": pa.timestamp("us")}), folder / "part-0.parquet")
    (tmp_path / "clicks" / "_SUCCESS").touch()
    (tmp_path / "clicks" / "_log.parquet").write_bytes(b"no Parquet")
    fields = read_source_schema(_file(tmp_path / "clicks"))
    assert [(field.name, show_dtype(field.dtype)) for field in fields] == [("at", "timestamp"), ("day", "string")]


def test_delta_columns_come_from_the_log(tmp_path: Path) -> None:
    types = {
        "user_id": pa.int64(),
        "at": pa.timestamp("us", tz="UTC"),
        "local": pa.timestamp("us"),
        "price": pa.decimal128(9, 1),
    }
    write_deltalake(str(tmp_path / "t"), _table(types | {"tags": pa.list_(pa.string())}))
    fields = read_source_schema(DeltaSourceNode(name="clicks", path=str(tmp_path / "t"), schema=()))
    shown = ["int64", "timestamp", "timestamp", "decimal(9,1)", "array<string>"]
    assert [show_dtype(field.dtype) for field in fields] == shown


def test_types_that_are_none_of_ours_are_all_named(tmp_path: Path) -> None:
    types: dict[str, Any] = {
        "u": pa.uint32(),
        "s": pa.struct([("x", pa.int64())]),
        "t": pa.time64("us"),
        "ok": pa.int64(),
    }
    pq.write_table(_table(types), tmp_path / "clicks.parquet")
    with pytest.raises(SchemaMismatch, match=r"column 'u': is uint32, which is no feature type") as caught:
        read_source_schema(_file(tmp_path / "clicks.parquet"))
    assert [problem.object for problem in caught.value.problems] == ["column 'u'", "column 's'", "column 't'"]


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"no Parquet at all")
    for source, expected in (
        (_file(tmp_path / "absent"), "no Parquet data can be read at .*absent"),
        (_file(tmp_path / "empty"), "the folder has no data file"),
        (_file(tmp_path / "bad.parquet"), "no Parquet data can be read"),
        (_file(tmp_path / "a.csv", format="csv"), "csv files do not tell their columns' types; declare schema="),
        (DeltaSourceNode(name="d", path=str(tmp_path / "absent"), schema=()), "no Delta table can be read"),
        (DeltaSourceNode(name="d", table="main.clicks", schema=()), "give path= instead of table="),
    ):
        with pytest.raises(StateError, match=expected):
            read_source_schema(source)
