"""Keys: no two entities, views or projects ever share one, and one entity's keys share a hash tag."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.keys import BUCKETS, KeyCodec, lock_key, marker_key, pointer_key
from featurestore.errors import EntityKeyMissing
from featurestore.spec.dtypes import Bool, Bytes, Date, Decimal, DType, Float64, Int32, Int64, String, Timestamp
from tests.support.rows import fields_of


def codec(*, project_id: int = 1, storage_id: int = 1, **dtypes: DType) -> KeyCodec:
    return KeyCodec(project_id=project_id, storage_id=storage_id, fields=fields_of(**(dtypes or {"k": Int64})))


def key(keys: KeyCodec, *parts: Any) -> bytes:
    (encoded,) = keys.encode({field.name: [part] for field, part in zip(keys.fields, parts, strict=True)})
    assert encoded is not None
    return encoded


def tag(encoded: bytes) -> bytes:
    assert encoded[:1] == b"{"
    return encoded[1 : encoded.index(b"}")]


def test_the_bytes_of_documented_examples() -> None:
    assert key(codec(), 1).hex(" ") == "7b df 81 ff 7d 01 00 00 00 00 00 00 00 01"
    assert key(codec(project_id=300, storage_id=200, k=String), "ab").hex(" ") == "7b 90 82 ac ed 7d c8 01 61 62"
    assert key(codec(a=String, b=Int32), "ab", 7)[5:].hex(" ") == "01 02 61 62 00 00 00 07"


def test_projects_and_views_never_touch_each_other() -> None:
    ids = [1, 11, 127, 128, 129, 1111, 16_383, 16_384, 2**31]
    texts = ["", "1", "11", "}", "{", "1}"]
    seen = [
        key(codec(project_id=project, storage_id=storage, k=String), text)
        for project in ids
        for storage in ids
        for text in texts
    ]
    assert len(set(seen)) == len(seen)


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.binary(max_size=3)), unique=True, max_size=20))
def test_composite_keys_never_collide(rows: list[tuple[str, str, bytes]]) -> None:
    a, b, c = ([row[place] for row in rows] for place in range(3))
    encoded = codec(a=String, b=String, c=Bytes).encode({"a": a, "b": b, "c": c})
    assert len(set(encoded)) == len(rows)


def test_neighbouring_composites_differ() -> None:
    pair = codec(a=String, b=String)
    assert key(pair, "1", "23") != key(pair, "12", "3")
    assert key(codec(k=String), "") != key(codec(k=String), "null")
    assert pair.encode({"a": ["", None, "x"], "b": ["", "x", None]})[1:] == [None, None]


@given(st.integers(-(2**63), 2**63 - 1))
def test_all_views_and_locks_of_an_entity_share_a_tag(number: int) -> None:
    first, second = key(codec(), number), key(codec(storage_id=70_000), number)
    assert tag(first) == tag(second) == tag(lock_key(first))
    assert first != second
    assert not set(tag(first)) & set(b"{}")


def test_locks_are_keys_of_their_own() -> None:
    row = key(codec(), 5)
    assert lock_key(row) != row
    assert not codec().owns(lock_key(row))
    assert lock_key(row) != lock_key(key(codec(storage_id=2), 5))


@pytest.mark.parametrize("project_id", [1, 300, 70_000])
def test_the_tags_of_a_project_hit_every_slot_once(project_id: int) -> None:
    tags = {tag(encoded) for encoded in codec(project_id=project_id).encode({"k": np.arange(250_000)}) if encoded}
    assert len(tags) == len({_slot(hash_tag) for hash_tag in tags}) == BUCKETS


def _slot(hash_tag: bytes) -> int:
    """Redis Cluster's CRC-16/XMODEM, modulo its number of slots."""
    crc = 0
    for byte in hash_tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % 16_384


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=30, max_size=40))
def test_the_fast_path_gives_the_bytes_of_the_slow_one(numbers: list[int]) -> None:
    slow = [key(codec(), number) for number in numbers]
    for column in (
        numbers,
        np.array(numbers),
        pa.array(numbers),
        [np.int64(number) for number in numbers],
        list(map(str, numbers)),
    ):
        assert codec().encode({"k": column}) == slow
    bucket = crc32(slow[0][-8:]) & (BUCKETS - 1)
    assert (slow[0][1], slow[0][3]) == (0x80 | bucket >> 7, 0x80 | bucket & 0x7F)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (Int64, [3, "3", 3.0, np.int8(3), np.float32(3), Number("3.0")]),
        (Int32, [3, "3", np.uint64(3)]),
        (String, ["a", np.str_("a")]),
        (Bytes, [b"a", bytearray(b"a"), memoryview(b"a")]),
        (Bool, [True, np.bool_(True)]),
        (Date, [date(2026, 1, 2), "2026-01-02", np.datetime64("2026-01-02"), datetime(2026, 1, 2)]),
        (
            Timestamp,
            [
                datetime(2026, 1, 2, tzinfo=UTC),
                datetime(2026, 1, 2),
                "2026-01-02T01:00+01:00",
                np.datetime64("2026-01-02T00:00:00.000", "ns"),
                pd.Timestamp("2026-01-02", tz="UTC"),
            ],
        ),
        (Decimal(6, 2), [Number("1.5"), "1.50", Number("15E-1")]),
    ],
)
def test_lossless_forms_of_one_value_are_one_key(dtype: DType, values: list[Any]) -> None:
    assert len({key(codec(k=dtype), value) for value in values}) == 1
    assert len(set(codec(k=dtype).encode({"k": values}))) == 1


@pytest.mark.parametrize(
    ("dtype", "value", "valid"),
    [
        (Int64, "03", "a whole number"),
        (Int64, 3.5, "a whole number"),
        (Int64, True, "a whole number"),
        (Int64, float(2**60), "floats up to"),
        (Int64, 2**63, "in the type's range"),
        (Int32, 2**31, "in the type's range"),
        (String, 7, "text"),
        (String, "\ud800", "surrogates"),
        (Bytes, "a", "bytes"),
        (Bool, 1, "True or False"),
        (Date, datetime(2026, 1, 2, 3), "a time of day would be lost"),
        (Timestamp, np.datetime64("2026-01-02T00:00:00.000000001"), "whole microseconds"),
        (Decimal(3, 1), Number("1.55"), "at most 3 digits"),
        (Decimal(3, 1), 1.5, "as Decimal, int or text"),
    ],
)
def test_other_values_name_row_column_found_and_valid(dtype: DType, value: Any, valid: str) -> None:
    keys = codec(user=dtype)
    with pytest.raises(
        EntityKeyMissing, match=rf"entity row 1: join key user: found .*valid for .* is .*{valid}"
    ) as caught:
        keys.encode({"user": [None, value]})
    assert caught.value.context == {"row": 1, "column": "user"}
    assert keys.encode({"user": [None, value]}, on_invalid="null") == [None, None]


@pytest.mark.parametrize("null", [None, float("nan"), np.datetime64("NaT"), pd.NA, pd.NaT])
def test_every_kind_of_null_has_no_key(null: Any) -> None:
    assert codec().encode({"k": [null, 1]})[0] is None


def test_nulls_in_arrays_have_no_key() -> None:
    for column in (
        pa.array([1, None]),
        pa.chunked_array([[1], [None]]),
        np.ma.array([1, 0], mask=[False, True]),
        np.array([1, np.nan]),
    ):
        assert codec().encode({"k": column}) == [key(codec(), 1), None]
    assert codec().encode({"k": []}) == []


def test_missing_and_uneven_columns_are_named() -> None:
    with pytest.raises(EntityKeyMissing, match="lack the join key b; found a, x; each row needs a, b"):
        codec(a=Int64, b=Int64).encode({"a": [1], "x": [2]})
    with pytest.raises(EntityKeyMissing, match="a has 1, b has 2"):
        codec(a=Int64, b=Int64).encode({"a": [1], "b": [2, 3]})
    with pytest.raises(ValueError, match="float64 has no exact key form"):
        codec(k=Float64)


@pytest.mark.parametrize("storage_id", [1, 42, 125, 200])
def test_a_codec_knows_its_own_keys(storage_id: int) -> None:
    own = codec(project_id=300, storage_id=storage_id)
    for project in (1, 2, 300, 301):
        for storage in (storage_id, storage_id + 1, 128 + storage_id):
            other = key(codec(project_id=project, storage_id=storage), 12345)
            assert own.owns(other) == ((project, storage) == (300, storage_id))


def test_a_pickled_codec_makes_the_same_keys() -> None:
    keys = codec(a=String, b=Decimal(9, 2))
    assert key(pickle.loads(pickle.dumps(keys)), "x", 1) == key(keys, "x", 1)


def test_records_are_no_row_keys() -> None:
    assert pointer_key("shop") == b"featurestore:pointer:shop"
    assert marker_key(1, 11) != marker_key(11, 1)
