"""Values that stand under a later stamp than their own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.restated import plain_form, restate
from featurestore.codec.stamp import is_newer, stamp_of
from featurestore.codec.value import RowCodec, tombstone
from featurestore.spec.dtypes import Float32, Float64, Int64, String
from tests.support.rows import encode_rows, fields_of, make_table, number_rows

FIELDS = fields_of(clicks=Int64, rate=Float32, city=String)
ROW = {"clicks": 3, "rate": None, "city": "Rome"}
EVENT, CREATED = 1_767_225_600_000_000, 1_767_312_000_000_000
"""2026-01-01 and 2026-01-02, as docs/formats.md has them."""


def test_golden_bytes() -> None:
    codec = RowCodec(FIELDS)
    times = np.array([EVENT]), np.array([CREATED])
    (value,) = codec.encode(make_table(FIELDS, [ROW]), event_us=times[0], created_us=times[1], holds=np.array([True]))
    restated = restate(value, EVENT + 86_400_000_000, CREATED + 7)
    assert restated.hex(" ") == (
        "80 06 47 5c 63 f7 a0 00 80 06 47 5c 63 f7 a0 07 21 "
        "80 06 47 48 46 20 40 00 80 06 47 5c 63 f7 a0 00 05 "
        "03 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00 52 6f 6d 65"
    )
    assert plain_form(restated) == value


def test_it_reads_as_the_row_that_it_holds() -> None:
    codec = RowCodec(FIELDS)
    (value,) = encode_rows(FIELDS, [ROW], event_us=5, created_us=6)
    rows = codec.decode([value, restate(value, 50, 60), None, tombstone(9, 9)])
    assert rows.present.tolist() == [True, True, False, False]
    assert rows.event_us.tolist() == [5, 5, 0, 0]
    assert rows.created_us.tolist() == [6, 6, 0, 0]
    assert rows.columns["city"].to_list() == ["Rome", "Rome", None, None]


def test_one_alone_and_of_fixed_width() -> None:
    (value,) = number_rows(1, event_us=5, created_us=6, value=1.5)
    rows = RowCodec(fields_of(x=Float64)).decode([restate(value, 50, 60)])
    assert (rows.event_us.tolist(), rows.columns["x"].to_list()) == ([5], [1.5])


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_it_is_ordered_by_the_stamp_in_front(event: int, created: int, other_event: int, other_created: int) -> None:
    (value,), (other,) = number_rows(1, value=1.0), number_rows(1, event_us=other_event, created_us=other_created)
    restated = restate(value, event, created)
    assert stamp_of(restated)[:2] == (event, created)
    if (event, created) != (other_event, other_created):
        assert is_newer(restated, other) == ((event, created) > (other_event, other_created))


def test_plain_values_and_tombstones_are_given_back() -> None:
    (value,) = number_rows(1)
    assert plain_form(value) is value
    assert plain_form(tombstone(1, 2)) == tombstone(1, 2)
