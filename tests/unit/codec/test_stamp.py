"""The order of values: by event, then created, then digest; the same for every replica and every order of writes."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.stamp import STAMP_BYTES, is_newer, pack_stamp, stamp_of, stamps_of, unstamp
from featurestore.codec.value import RowCodec, tombstone
from featurestore.spec.dtypes import Float32, Int64, String
from tests.support.rows import encode_rows, fields_of, make_table, number_rows

TIMES = st.integers(-(2**63), 2**63 - 1)


@given(TIMES, TIMES, TIMES, TIMES)
def test_packed_stamps_compare_as_times_do(event: int, created: int, other_event: int, other_created: int) -> None:
    left, right = pack_stamp(event, created), pack_stamp(other_event, other_created)
    assert len(left) == STAMP_BYTES
    assert (left < right) == ((event, created) < (other_event, other_created))


@given(st.lists(TIMES))
def test_stamps_of_arrays_are_those_of_numbers(times: list[int]) -> None:
    array = np.array(times, np.int64)
    assert stamps_of(array).tobytes() == b"".join(pack_stamp(time, 0)[:8] for time in times)
    assert unstamp(stamps_of(array)).tolist() == times


@given(TIMES, TIMES)
def test_a_value_tells_its_stamp(event: int, created: int) -> None:
    (blob,) = number_rows(1, event_us=event, created_us=created)
    assert stamp_of(blob) == (event, created, hashlib.sha1(blob).hexdigest())


def test_newer_wins_and_equal_does_not() -> None:
    (old,), (new,) = number_rows(1, event_us=-1), number_rows(1, event_us=0)
    assert is_newer(new, old)
    assert is_newer(old, None)
    assert not is_newer(old, new)
    assert not is_newer(old, old)
    (corrected,) = number_rows(1, event_us=-1, created_us=1)
    assert is_newer(corrected, old)
    assert is_newer(tombstone(-1, 1), old)
    assert is_newer(new, tombstone(-1, 1))


def test_ties_are_decided_one_way() -> None:
    (one,), (two,) = number_rows(1, value=1.0), number_rows(1, value=2.0)
    assert is_newer(one, two) != is_newer(two, one)
    assert is_newer(one, two) == (hashlib.sha1(one).hexdigest() > hashlib.sha1(two).hexdigest())


def test_the_bytes_of_the_documented_row() -> None:
    fields = fields_of(clicks=Int64, rate=Float32, city=String)
    table = make_table(fields, [{"clicks": 3, "rate": None, "city": "Rome"}])
    (blob,) = RowCodec(fields).encode(
        table,
        event_us=np.array([1_767_225_600_000_000]),
        created_us=np.array([1_767_312_000_000_000]),
        holds=np.array([True]),
    )
    assert blob.hex(" ") == (
        "80 06 47 48 46 20 40 00 80 06 47 5c 63 f7 a0 00 11 05 "
        "03 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00 52 6f 6d 65"
    )
    assert tombstone(0, 0).hex(" ") == "80 00 00 00 00 00 00 00 80 00 00 00 00 00 00 00 12"


def test_a_pickled_codec_reads_the_same_bytes() -> None:
    codec = RowCodec(fields_of(x=Int64))
    (blob,) = encode_rows(codec.fields, [{"x": 5}])
    assert pickle.loads(pickle.dumps(codec)).decode([blob]).columns["x"].to_list() == [5]


def test_the_size_of_a_row_is_header_bitmap_and_values() -> None:
    fifty = fields_of(**{f"f{number}": Float32 for number in range(50)})
    (blob,) = encode_rows(fifty, [{}])
    assert len(blob) == 16 + 1 + 7 + 50 * 4
