"""The pointer, the marker and the digest of inputs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.codec.digest import inputs_digest
from featurestore.codec.pointer import Marker, Pointer, VersionRef, ViewPointer
from featurestore.errors import StateError

VIEW = ViewPointer(
    version=2,
    storage_id=7,
    covered_until_us=1_767_225_600_000_000,
    building=VersionRef(version=3, storage_id=9),
    warm=(VersionRef(version=1, storage_id=4),),
)
POINTER = Pointer(project="shop", project_id=1, generation=5, views={"user_data": VIEW})


def test_a_pointer_survives_its_bytes() -> None:
    assert Pointer.from_bytes(POINTER.to_bytes()) == POINTER
    assert pickle.loads(pickle.dumps(POINTER)) == POINTER
    assert POINTER.to_bytes() == (
        b'{"format":1,"generation":5,"project":"shop","project_id":1,"views":{"user_data":{"building":[3,9],'
        b'"covered":1767225600000000,"storage_id":7,"version":2,"warm":[[1,4]]}}}'
    )


def test_earlier_stretches_survive_for_served_and_warm_versions() -> None:
    stretches = ((-5, 0), (10, 20))
    warm = (VersionRef(version=1, storage_id=4, covered_until_us=40, covered_from_us=30, earlier_us=stretches),)
    view = ViewPointer(
        version=2, storage_id=7, covered_until_us=90, covered_from_us=50, earlier_us=stretches[1:], warm=warm
    )
    pointer = POINTER.with_view("user_data", view)
    assert Pointer.from_bytes(pointer.to_bytes()) == pointer
    assert b'"earlier":[[10,20]]' in pointer.to_bytes() and b"[1,4,40,30,[[-5,0],[10,20]]]" in pointer.to_bytes()


def test_equal_pointers_are_equal_bytes_in_any_order_of_views() -> None:
    other = ViewPointer(version=1, storage_id=8)
    forth = POINTER.with_view("a", other).with_view("b", VIEW)
    back = POINTER.with_view("b", VIEW).with_view("a", other)
    assert forth.to_bytes() == back.to_bytes()
    assert forth.with_view("a", None).with_view("b", None) == POINTER
    assert "a" not in POINTER.views


def test_a_marker_survives_its_bytes() -> None:
    for marker in (Marker(delta_version=3, covered_until_us=-1), Marker(delta_version=0)):
        assert Marker.from_bytes(marker.to_bytes()) == marker


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", b"\xff", b"1"])
def test_a_damaged_record_is_said_to_be(record: bytes) -> None:
    with pytest.raises(StateError, match="the publication marker in the online store is not readable"):
        Marker.from_bytes(record)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(StateError, match=r"has format 2, valid is 1.*upgrade this process"):
        Pointer.from_bytes(b'{"format":2}')


def _headers(*rows: tuple[bool, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    present, event, created = zip(*rows, strict=True)
    return np.array(present), np.array(event, np.int64), np.array(created, np.int64)


def test_the_digests_of_documented_headers() -> None:
    digests = inputs_digest([_headers((True, 1, 2), (False, 0, 0)), _headers((True, -3, 4), (True, 0, 0))])
    assert digests.dtype == np.int64
    assert digests.tolist() == [-5336004355513696088, 4668766698853458580]
    assert inputs_digest([]).tolist() == []


def test_order_absence_and_each_time_count() -> None:
    a, b = _headers((True, 1, 2)), _headers((True, 2, 1))
    absent, zero = _headers((False, 0, 0)), _headers((True, 0, 0))
    digests = [inputs_digest(headers)[0] for headers in ([a, b], [b, a], [a], [b], [a, absent], [a, zero], [absent, a])]
    assert len(set(digests)) == len(digests)


def test_what_an_absent_row_says_is_ignored() -> None:
    assert inputs_digest([_headers((False, 7, 8))]) == inputs_digest([_headers((False, 0, 0))])


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)), min_size=1)
)
def test_a_rows_digest_does_not_depend_on_its_neighbours(rows: list[tuple[bool, int, int]]) -> None:
    together = inputs_digest([_headers(*rows)]).tolist()
    assert together == [inputs_digest([_headers(row)]).tolist()[0] for row in rows]
