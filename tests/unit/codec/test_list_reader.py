"""Lists of some fields, whatever their number and type, are the columns' lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.value import RowCodec, tombstone
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Array, Bool, Decimal, DType, Float32, Float64, Int64, String, Timestamp
from tests.support.rows import dtypes, encode_rows, fields_of, same, values_of

MIXED = fields_of(
    a=Float64, b=Float64, c=Int64, s=String, d=Bool, e=Decimal(30, 2), f=Decimal(30, 2), t=Timestamp, l=Array(Int64)
)


@given(st.data())
def test_lists_are_what_the_columns_say(data: st.DataObject) -> None:
    types: list[DType] = data.draw(
        st.lists(st.one_of(dtypes(), st.sampled_from([Float64, Float32, Int64])), min_size=1, max_size=8)
    )
    fields = tuple(FieldNode(name=f"f{number}", dtype=dtype) for number, dtype in enumerate(types))
    row = st.fixed_dictionaries({field.name: st.one_of(st.none(), values_of(field.dtype)) for field in fields})
    blobs: list[bytes | None] = [*encode_rows(fields, data.draw(st.lists(row, max_size=3))), None, tombstone(1, 1)]
    kept = data.draw(st.lists(st.sampled_from(blobs), max_size=4))
    kept *= data.draw(st.sampled_from([1, 200]))
    names = data.draw(st.lists(st.sampled_from([field.name for field in fields]), unique=True))
    codec = RowCodec(fields)
    decoded = codec.decode(kept)
    reader = codec.list_reader(names)
    lists = reader.read(decoded)
    assert len(lists) == len(names)
    for name in names:
        assert same(lists[reader.slot(name)], decoded.columns[name].to_list())


@pytest.mark.parametrize("count", [1, 2, 100, 1000])
def test_complete_rows_are_read_in_one_go_at_every_size(count: int) -> None:
    rows: list[dict[str, Any]] = [
        {"a": number / 2, "b": -number / 2, "c": number, "s": f"é{number}", "d": bool(number % 2), "l": [number, None]}
        for number in range(count)
    ]
    codec = RowCodec(MIXED)
    reader = codec.list_reader(["l", "c", "b", "a", "d", "s"])
    lists = reader.read(codec.decode(encode_rows(MIXED, rows)))
    for name in ("a", "b", "c", "s", "d", "l"):
        assert lists[reader.slot(name)] == [row[name] for row in rows]


def test_lists_are_new_each_time() -> None:
    codec = RowCodec(MIXED)
    decoded = codec.decode(encode_rows(MIXED, [{"a": 1.0}]))
    reader = codec.list_reader(["a"])
    reader.read(decoded)[0].append("changed")
    assert reader.read(decoded) == [[1.0]]
