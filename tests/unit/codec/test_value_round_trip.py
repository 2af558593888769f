"""What goes in comes out, for every dtype."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.value import RowCodec, tombstone
from featurestore.errors import SchemaMismatch, StateError
from featurestore.ir.nodes import FieldNode
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
    Json,
    Map,
    String,
    Timestamp,
)
from tests.support.rows import dtypes, encode_rows, fields_of, make_table, same, values_of

FIELDS = fields_of(a=Int64, s=String)


@given(st.data())
def test_every_dtype_survives(data: st.DataObject) -> None:
    types: list[DType] = data.draw(st.lists(dtypes(), min_size=1, max_size=10))
    fields = tuple(FieldNode(name=f"f{number}", dtype=dtype) for number, dtype in enumerate(types))
    row = st.fixed_dictionaries({field.name: st.one_of(st.none(), values_of(field.dtype)) for field in fields})
    rows: list[dict[str, Any]] = data.draw(st.lists(row, max_size=4))
    decoded = RowCodec(fields).decode(encode_rows(fields, rows))
    for field in fields:
        expected = [item[field.name] for item in rows]
        column = decoded.columns[field.name]
        assert same(column.to_list(), expected)
        assert column.valid.tolist() == [value is not None for value in expected]
        assert column.to_arrow().equals(make_table((field,), rows)[field.name].combine_chunks()) or _holds_nan_or_map(
            expected
        )


def _holds_nan_or_map(values: list[Any]) -> bool:
    """Arrow's own equality tells NaN from NaN and maps by the order of their pairs."""
    return any(mark in repr(values) for mark in ("nan", "{"))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (Float64, [math.inf, -math.inf, math.nan, -0.0, 5e-324, None]),
        (Float32, [math.inf, math.nan, -0.0, 1.5, None]),
        (Int64, [-(2**63), 2**63 - 1, 0, None]),
        (Int32, [-(2**31), 2**31 - 1, None]),
        (Bool, [True, False, None]),
        (String, ["", "null", "\0", "Grüße 🙂", None]),
        (Json, ["null", '{"a":[1]}', "", None]),
        (Bytes, [b"", b"\0}{", b"\xff" * 300, None]),
        (Timestamp, [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(9999, 12, 31, tzinfo=UTC), None]),
        (Date, [date(1, 1, 1), date(9999, 12, 31), None]),
        (Decimal(38, 10), [Number("-9999999999999999999999999999.9999999999"), Number("0E-10"), None]),
        (Decimal(4, 2), [Number("-99.99"), Number("1.10"), None]),
        (Array(Float64), [[], [math.nan, None, 1.0], [None], None]),
        (Array(Array(String)), [[[], None, ["", None]], [], None]),
        (Array(Decimal(30, 0)), [[Number(10**29), None], None]),
        (Map(String, Array(Int64)), [{}, {"b": [1, None], "a": None}, None]),
        (Map(Date, Map(Int64, Timestamp)), [{date(2026, 1, 1): {7: datetime(2026, 1, 1, tzinfo=UTC)}}, None]),
    ],
)
def test_edges_stay_apart(dtype: DType, values: list[Any]) -> None:
    fields = fields_of(x=dtype)
    blobs = encode_rows(fields, [{"x": value} for value in values])
    assert same(RowCodec(fields).decode(blobs).columns["x"].to_list(), values)
    assert len(set(blobs)) == len(values)


def test_absent_rows_and_tombstones_keep_their_places() -> None:
    codec = RowCodec(FIELDS)
    first, second = codec.encode(
        make_table(FIELDS, [{"a": 1, "s": "x"}, {"s": "yy"}]),
        event_us=np.array([5, -5]),
        created_us=np.array([6, -6]),
        holds=np.array([True, False]),
    )
    decoded = codec.decode([None, first, tombstone(9, 9), second, first])
    assert decoded.count == 5
    assert decoded.present.tolist() == [False, True, False, True, True]
    assert decoded.event_us.tolist() == [0, 5, 0, -5, 5]
    assert decoded.created_us.tolist() == [0, 6, 0, -6, 6]
    assert decoded.holds.tolist() == [False, True, False, False, True]
    assert decoded.columns["a"].to_list() == [None, 1, None, None, 1]
    assert decoded.columns["s"].to_list() == [None, "x", None, "yy", "x"]
    assert decoded.columns["s"].to_arrow().to_pylist() == [None, "x", None, "yy", "x"]


@pytest.mark.parametrize("blobs", [[], [None], [None, tombstone(1, 1)]])
def test_nothing_present_gives_columns_of_nothing(blobs: list[bytes | None]) -> None:
    decoded = RowCodec(FIELDS).decode(blobs)
    assert decoded.present.tolist() == [False] * len(blobs)
    assert decoded.columns["a"].to_list() == decoded.columns["s"].to_list() == [None] * len(blobs)


def test_a_view_without_columns_has_headers_only() -> None:
    codec = RowCodec(())
    (blob,) = codec.encode(pa.table({"key": [1]}), event_us=np.array([3]), created_us=np.array([4]))
    decoded = codec.decode([blob, tombstone(3, 4), None])
    assert decoded.present.tolist() == [True, False, False]
    assert len(decoded.columns) == 0


def test_deleted_rows_become_tombstones() -> None:
    table = make_table(FIELDS, [{"a": 1, "s": "long text"}, {"a": 2}])
    times = np.array([7, 8])
    blobs = RowCodec(FIELDS).encode(table, event_us=times, created_us=times, deleted=np.array([True, False]))
    assert blobs[0] == tombstone(7, 7)
    assert RowCodec(FIELDS).decode(blobs).present.tolist() == [False, True]


def test_chunks_slices_and_lossless_casts_are_taken() -> None:
    part = pa.table({"s": ["skip", "x", None], "a": pa.array([0, 1, 2], pa.int16())}).slice(1)
    table = pa.concat_tables([part, part])
    times = np.zeros(4, np.int64)
    decoded = RowCodec(FIELDS).decode(RowCodec(FIELDS).encode(table, event_us=times, created_us=times))
    assert decoded.columns["a"].to_list() == [1, 2, 1, 2]
    assert decoded.columns["s"].to_list() == ["x", None, "x", None]


def test_sliced_lists_and_maps_are_taken() -> None:
    fields = fields_of(l=Array(Int64), m=Map(String, Int64))
    rows: list[dict[str, Any]] = [
        {"l": [9, 9], "m": {"z": 0}},
        {"l": [1, None], "m": {"k": 1}},
        {"l": None, "m": None},
        {"l": [2]},
    ]
    times = np.zeros(3, np.int64)
    blobs = RowCodec(fields).encode(make_table(fields, rows).slice(1), event_us=times, created_us=times)
    assert blobs == encode_rows(fields, rows[1:])


def test_naive_and_nanosecond_instants_become_utc_microseconds() -> None:
    fields = fields_of(t=Timestamp)
    moment = datetime(2026, 1, 1, 12, 0, 0, 123456)
    for unit in ("us", "ns"):
        table = pa.table({"t": pa.array([moment], pa.timestamp(unit))})
        blobs = RowCodec(fields).encode(table, event_us=np.zeros(1, np.int64), created_us=np.zeros(1, np.int64))
        assert RowCodec(fields).decode(blobs).columns["t"].to_list() == [moment.replace(tzinfo=UTC)]


def test_all_columns_that_do_not_fit_are_named_at_once() -> None:
    table = pa.table({"s": [b"\xff"], "x": [1]})
    with pytest.raises(
        SchemaMismatch, match=r"(?s)2 schema problems.*a: the column is missing; found s, x.*s: found binary"
    ):
        RowCodec(FIELDS).encode(table, event_us=np.zeros(1, np.int64), created_us=np.zeros(1, np.int64))


@pytest.mark.parametrize(
    "damage", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: blob[:16] + b"\x12" + blob[17:]]
)
def test_bytes_of_another_format_are_refused_by_row(damage: Any) -> None:
    fields = fields_of(a=Int64)
    (good,) = encode_rows(fields, [{"a": 1}])
    with pytest.raises(StateError, match="the online value of row 2 is not of this view version's schema"):
        RowCodec(fields).decode([None, good, damage(good)])


def test_equal_maps_and_equal_nans_are_equal_bytes() -> None:
    maps = fields_of(m=Map(String, Int64))
    assert len(set(encode_rows(maps, [{"m": {"a": 1, "b": 2}}, {"m": {"b": 2, "a": 1}}]))) == 1
    floats = fields_of(x=Float64)
    payload = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    table = pa.table({"x": pa.array(np.concatenate([payload, [np.nan]]))})
    blobs = RowCodec(floats).encode(table, event_us=np.zeros(2, np.int64), created_us=np.zeros(2, np.int64))
    assert blobs[0] == blobs[1]
