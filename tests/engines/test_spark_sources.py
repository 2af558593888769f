"""Sources as they come: units of time, text formats, renamed columns, pins, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from featurestore.engines.spark.pins import pin_source
from featurestore.engines.spark.sources import read_source
from featurestore.errors import InputNotReady, SchemaMismatch, StateError
from featurestore.intervals import from_micros
from featurestore.ir.nodes import DeltaSourceNode, SourceNode
from featurestore.spec.dtypes import Bool, Float64, Int64, String, Timestamp
from tests.support.engine_runs import EVENTS, fields, file_source, instant

pytestmark = pytest.mark.spark

KEYED = fields({"k": Int64, "ts": Timestamp})


def read(spark: SparkSession, folder: Path, source: SourceNode) -> list[tuple[Any, ...]]:
    def resolve(path: str) -> str:
        return str(folder / path)

    frame = read_source(spark, source, pin_source(None, source, resolve=resolve), resolve=resolve)
    assert frame.columns == [field.name for field in source.schema]
    return sorted(map(tuple, frame.collect()))


def write(path: Path, unit: Literal["ns", "us", "ms"], *rows: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys, instants = zip(*rows, strict=True)
    zone = "UTC" if unit != "ms" else None
    columns = {"k": pa.array(keys, pa.int32()), "ts": pa.array(instants, pa.timestamp(unit, tz=zone))}
    pq.write_table(pa.table(columns), path)


def test_instants_of_every_unit_in_one_folder(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "in/a.parquet", "ns", (1, 1_767_225_600_123_456_789), (2, -1))
    write(tmp_path / "in/b.parquet", "us", (3, 1_767_225_600_123_456))
    write(tmp_path / "in/c.parquet", "ms", (4, 1_767_225_600_123))
    (tmp_path / "in/_SUCCESS").touch()
    micros = {1: 1_767_225_600_123_456, 2: -1, 3: 1_767_225_600_123_456, 4: 1_767_225_600_123_000}
    naive = [(key, from_micros(at).replace(tzinfo=None)) for key, at in micros.items()]
    assert read(spark, tmp_path, file_source(path="in", schema=KEYED)) == naive


def test_only_pinned_files_are_read_and_changed_ones_refused(spark: SparkSession, tmp_path: Path) -> None:
    source = file_source(path="in", schema=KEYED)
    write(tmp_path / "in/a.parquet", "us", (1, 0))
    pin = pin_source(None, source, resolve=lambda path: str(tmp_path / path))
    write(tmp_path / "in/b.parquet", "us", (2, 0))
    frame = read_source(spark, source, pin, resolve=lambda path: str(tmp_path / path))
    assert [row["k"] for row in frame.collect()] == [1]
    assert pin != pin_source(None, source, resolve=lambda path: str(tmp_path / path))
    write(tmp_path / "in/a.parquet", "us", (1, 0), (9, 0))
    with pytest.raises(StateError, match="changed after the run pinned them"):
        read_source(spark, source, pin, resolve=lambda path: str(tmp_path / path))


def test_folder_names_are_columns(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "in/n=007/a.parquet", "us", (1, 0))
    schema = fields({"k": Int64, "ts": Timestamp, "n": String})
    assert [row[2] for row in read(spark, tmp_path, file_source(path="in", schema=schema))] == ["007"]


def test_csv_is_parsed_by_the_declared_types(spark: SparkSession, tmp_path: Path) -> None:
    text = 'when,k,x,ok,s\n2026-01-02T00:00:00Z,1,0.5,true,"a,b"\n2026-01-03 06:00:00.000001,2,,false,\n'
    (tmp_path / "in.csv").write_text(text)
    types = {"k": Int64, "ts": Timestamp, "x": Float64, "ok": Bool, "s": String}
    source = file_source(path="in.csv", format="csv", schema=fields(types), field_mapping=(("when", "ts"),))
    first, second = read(spark, tmp_path, source)
    assert first == (1, instant("02").replace(tzinfo=None), 0.5, True, "a,b")
    assert second == (2, instant("03 06:00").replace(tzinfo=None, microsecond=1), None, False, None)


def test_json_is_parsed_as_strictly(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"ts": "2026-01-02T00:00:00Z", "k": 1}\n{"k": 2}\n')
    source = file_source(path="in.json", format="json", schema=KEYED)
    assert read(spark, tmp_path, source) == [(1, instant("02").replace(tzinfo=None)), (2, None)]
    (tmp_path / "in.json").write_text('{"ts": "2026-01-02T00:00:00Z", "k": "one"}\n')
    with pytest.raises(PySparkException, match=r"source 'events', column 'k': found .*one.*, not a bigint"):
        read(spark, tmp_path, source)


def test_delta_is_read_at_the_pinned_version(spark: SparkSession, tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([1], pa.int64()), "ts": pa.array([0], pa.timestamp("us", tz="UTC"))})
    write_deltalake(str(tmp_path / "t"), table)
    source = DeltaSourceNode(name="t", path="t", timestamp_field="ts", schema=KEYED)
    pin = pin_source(None, source, resolve=lambda path: str(tmp_path / path))
    assert (pin.kind, pin.state["version"]) == ("delta", 0)
    write_deltalake(str(tmp_path / "t"), table, mode="append")
    assert read_source(spark, source, pin, resolve=lambda path: str(tmp_path / path)).count() == 1
    assert len(read(spark, tmp_path, source)) == 2
    narrowed = DeltaSourceNode(name="t", path="t", query="SELECT * FROM {table} WHERE k > 1", schema=KEYED)
    assert read(spark, tmp_path, narrowed) == []


def test_an_empty_folder_has_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for kind in ("parquet", "csv", "json"):
        assert read(spark, tmp_path, file_source(path="in", format=kind)) == []


def test_all_wrong_columns_are_named_at_once(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "events.parquet", "us", (1, 0))
    schema = fields({**EVENTS, "k": String})
    with pytest.raises(SchemaMismatch) as refused:
        read(spark, tmp_path, file_source(schema=schema))
    text = str(refused.value)
    assert "source 'events': k: found int, valid is string" in text
    assert "source 'events': n: the column is missing; found k, ts" in text
    assert len(refused.value.problems) == 4


def test_nothing_at_the_path_says_which_source(tmp_path: Path) -> None:
    delta = DeltaSourceNode(name="t", path="nowhere", schema=KEYED)
    for source in (file_source(path="nowhere"), delta):
        with pytest.raises(InputNotReady, match=rf"source '{source.name}': there is no.*nowhere"):
            pin_source(None, source, resolve=lambda path: str(tmp_path / path))
