"""Values of codec 1 stay readable for ever; older and newer codecs in one batch."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import pytest

from featurestore.codec.layout import CODEC, FLAGS_MASK, Layout
from featurestore.codec.rows import OLDER_CODECS, decode_rows
from featurestore.codec.value import RowCodec, tombstone
from featurestore.errors import StateError, UnknownCodec
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
from tests.support.rows import encode_rows, fields_of, same

GOLDEN = Path(__file__).parents[2] / "golden" / "values_codec_1.txt"
"""One line for each value below, as the first release wrote it. Nothing rewrites it: stored values do not change."""

VALUES: list[tuple[DType, list[Any]]] = [
    (Int32, [-1, 2**31 - 1, None]),
    (Int64, [-(2**63), 7]),
    (Float32, [1.5, -0.0, math.nan, math.inf]),
    (Float64, [0.1, -0.0, math.nan, -math.inf]),
    (Bool, [True, False]),
    (String, ["", "Grüße"]),
    (Json, ['{"a":[1]}']),
    (Bytes, [b"", b"\0\xff"]),
    (Timestamp, [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(2026, 1, 1, 0, 0, 0, 1, UTC)]),
    (Date, [date(1, 1, 1), date(2026, 1, 1)]),
    (Decimal(4, 2), [Number("-99.99")]),
    (Decimal(38, 10), [Number("-9999999999999999999999999999.9999999999")]),
    (Array(Int64), [[], [1, None], None]),
    (Array(Array(String)), [[[], None, ["", None, "x"]]]),
    (Array(Decimal(30, 0)), [[Number(10**29), None]]),
    (Map(String, Float64), [{}, {"b": 1.0, "a": None}]),
    (Map(Date, Map(Int64, Timestamp)), [{date(2026, 1, 1): {7: datetime(2026, 1, 1, tzinfo=UTC)}}]),
]
CASES = [(dtype, value) for dtype, values in VALUES for value in values]
FIELDS = fields_of(clicks=Int64, city=String)


def test_values_of_codec_1_are_read_and_written_as_ever() -> None:
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(CASES)
    for line, (dtype, value) in zip(lines, CASES, strict=True):
        shown, _, written = line.rpartition(" = ")
        blob = bytes.fromhex(written)
        fields = fields_of(x=dtype)
        codec = RowCodec(fields)
        assert same(codec.decode([blob]).columns["x"].to_list(), [value]), shown
        assert same(codec.list_reader(["x"]).read(codec.decode([blob])), [[value]]), shown
        assert encode_rows(fields, [{"x": value}], event_us=1, created_us=-1) == [blob], shown


def upgrade_codec_0(layout: Layout, blob: bytes) -> bytes:
    """Read an invented older format: stamp, codec byte, then the city's length and text, and no clicks."""
    city = blob[18 : 18 + blob[17]].decode()
    (value,) = encode_rows(layout.fields, [{"city": city}])
    return blob[:16] + bytes((CODEC | blob[16] & FLAGS_MASK,)) + value[17:]


def test_values_of_an_older_codec_are_read_beside_those_of_the_present_one() -> None:
    layout = Layout.of(FIELDS)
    old = tombstone(5, 6)[:16] + b"\x01" + b"\x04Rome"
    (new,) = encode_rows(FIELDS, [{"clicks": 3, "city": "Oslo"}], event_us=7, created_us=8)
    rows = decode_rows(layout, [None, old, new, old, tombstone(9, 9)], older={**OLDER_CODECS, 0x00: upgrade_codec_0})
    assert rows.present.tolist() == [False, True, True, True, False]
    assert rows.event_us.tolist() == [0, 5, 7, 5, 0]
    assert rows.created_us.tolist() == [0, 6, 8, 6, 0]
    assert rows.holds.tolist() == [False, True, False, True, False]
    assert rows.columns["clicks"].to_list() == [None, None, 3, None, None]
    assert rows.columns["city"].to_list() == [None, "Rome", "Oslo", "Rome", None]


def test_a_value_of_a_newer_codec_asks_for_an_upgrade_and_names_the_row() -> None:
    (good,) = encode_rows(FIELDS, [{"clicks": 3}])
    newer = good[:16] + b"\x31" + b"anything"
    with pytest.raises(
        UnknownCodec, match=r"row 2 has codec byte 0x31, valid are 0x20, 0x10 .* newer release"
    ) as caught:
        RowCodec(FIELDS).decode([None, good, newer])
    assert caught.value.context == {"row": 2, "codec": 3}
    assert isinstance(caught.value, StateError)


def test_lengths_that_only_add_up_are_refused() -> None:
    fields = fields_of(x=Int64)
    one, two = encode_rows(fields, [{"x": 1}, {"x": 2}])
    with pytest.raises(StateError, match="row 0 is not of this view version's schema: found 25 bytes, valid are 26"):
        RowCodec(fields).decode([one[:-1], two + b"\0"])


def test_fifty_columns_take_the_bytes_that_the_documentation_says() -> None:
    for dtype, size in ((Float64, 424), (Float32, 224)):
        fields = fields_of(**{f"f{number}": dtype for number in range(50)})
        (blob,) = encode_rows(fields, [{f"f{number}": float(number) for number in range(50)}])
        assert len(blob) == size
