"""One suite for every online store: memory, and Redis 6.2 and 7.0 over every topology and in a locale of its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.codec.keys import KeyCodec
from featurestore.codec.stamp import is_newer
from featurestore.codec.value import tombstone
from featurestore.errors import DeadlineExceeded
from featurestore.spec.dtypes import Int64
from featurestore.stores.base import OnlineStore, WriteCount
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.rows import fields_of, number_rows
from tests.support.topologies import TOPOLOGIES, opened_store

KEYS = KeyCodec(project_id=1, storage_id=1, fields=fields_of(k=Int64))
_serial = itertools.count()


@pytest.fixture(
    scope="module", params=["memory", *(pytest.param(name, marks=pytest.mark.redis) for name in TOPOLOGIES)]
)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    with opened_store(request.param, tmp_path_factory.mktemp("r")) as opened:
        yield opened


def new_keys(count: int) -> list[bytes]:
    """Keys that no other test of the module uses."""
    start = next(_serial) * 1_000_000
    return [key for key in KEYS.encode({"k": np.arange(start, start + count)}) if key is not None]


def value(event_us: int = 0, created_us: int = 0, number: float = 0.0) -> bytes:
    return number_rows(1, event_us=event_us, created_us=created_us, value=number)[0]


def test_values_come_in_the_order_of_keys(store: OnlineStore) -> None:
    first, second, missing = new_keys(3)
    count = store.write_if_newer([(first, value(1)), (second, value(2))])
    assert count == WriteCount(written=2, bytes_sent=2 * (len(first) + len(value())))
    assert store.read([second, missing, first, second]) == [value(2), None, value(1), value(2)]
    assert store.read([]) == []


def test_replays_do_nothing(store: OnlineStore) -> None:
    pairs = [(key, value(number)) for number, key in enumerate(new_keys(300))]
    assert store.write_if_newer(pairs).written == 300
    again = store.write_if_newer(pairs)
    assert (again.written, again.ignored) == (0, 300)
    assert store.write_if_newer([]) == WriteCount()


def test_keys_that_are_thought_new_and_are_not(store: OnlineStore) -> None:
    keys = new_keys(300)
    later = int(datetime.now(UTC).timestamp() * 1000) + 3_600_000
    store.write_if_newer([(keys[7], value(9)), (keys[200], value(1))])
    expiries = [later if number >= 250 else 0 for number in range(300)]
    count = store.write_if_newer([(key, value(5)) for key in keys], expire_at_ms=expiries, are_new=True)
    assert (count.written, count.ignored) == (299, 1)
    assert store.read(keys) == [value(9 if number == 7 else 5) for number in range(300)]
    again = store.write_if_newer([(key, value(5)) for key in keys], are_new=True)
    assert (again.written, again.ignored) == (0, 300)


VALUES = st.builds(value, st.integers(-3, 3), st.integers(-1, 1), st.floats(0, 2).map(round)) | st.builds(
    tombstone, st.integers(-3, 3), st.integers(-1, 1)
)


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_does_not_matter(store: OnlineStore, values: list[bytes], random: object) -> None:
    (one, other) = new_keys(2)
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    for written in values:
        store.write_if_newer([(one, written)])
    store.write_if_newer([(other, written) for written in shuffled])
    greatest = values[0]
    for candidate in values[1:]:
        greatest = candidate if is_newer(candidate, greatest) else greatest
    assert store.read([one, other]) == [greatest, greatest]


WRITES = st.lists(st.lists(st.tuples(st.integers(0, 2), VALUES), min_size=1, max_size=4), min_size=2, max_size=8)


@settings(max_examples=40)
@given(WRITES, st.randoms(use_true_random=False))
def test_writers_that_come_between_each_other_leave_the_greatest(
    store: OnlineStore, calls: list[list[tuple[int, bytes]]], random: object
) -> None:
    """Each call is one writer's; every one is made twice, as after a lost answer, in a random order of all.

    Some writers think that none of the keys is there.
    """
    keys = new_keys(3)
    held: dict[int, bytes] = {}
    for call in sorted(calls * 2, key=lambda _: random.random()):  # type: ignore[attr-defined]
        are_new = random.random() < 0.5  # type: ignore[attr-defined]
        count = store.write_if_newer([(keys[place], written) for place, written in call], are_new=are_new)
        wins = 0
        for place, written in call:
            if is_newer(written, held.get(place)):
                held[place] = written
                wins += 1
        assert (count.written, count.ignored) == (wins, len(call) - wins)
    assert store.read(keys) == [held.get(place) for place in range(3)]


@settings(max_examples=100)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4))
def test_stamps_compare_as_whole_numbers_of_64_bits(store: OnlineStore, times: list[int]) -> None:
    (key,) = new_keys(1)
    old, new = value(times[0], times[1]), value(times[2], times[3])
    store.write_if_newer([(key, old)])
    count = store.write_if_newer([(key, new)])
    is_greater = (times[2], times[3]) > (times[0], times[1])
    assert count.written == is_greater
    assert store.read([key]) == [new if is_greater else old]


def test_neighbouring_bytes_order_as_numbers_in_any_locale(store: OnlineStore) -> None:
    for low in range(255):
        (key,) = new_keys(1)
        store.write_if_newer([(key, value(low))])
        assert store.write_if_newer([(key, value(low + 1))]).written == 1
        assert store.write_if_newer([(key, value(low))]).written == 0


def test_a_correction_of_the_same_event_wins(store: OnlineStore) -> None:
    (key,) = new_keys(1)
    store.write_if_newer([(key, value(5, 1, 9.0))])
    assert store.write_if_newer([(key, value(5, 2, 1.0))]).written == 1
    assert store.write_if_newer([(key, value(5, 1, 9.0))]).written == 0
    assert store.read([key]) == [value(5, 2, 1.0)]


def test_ties_end_alike_whatever_comes_first(store: OnlineStore) -> None:
    tied = [value(5, 5, float(number)) for number in range(40)]
    forth, back = new_keys(2)
    for candidate in tied:
        store.write_if_newer([(forth, candidate)])
    for candidate in reversed(tied):
        store.write_if_newer([(back, candidate)])
    winner = next(c for c in tied if not any(is_newer(other, c) for other in tied))
    assert store.read([forth, back]) == [winner, winner]


def test_a_tombstone_wins_over_what_is_older(store: OnlineStore) -> None:
    (key,) = new_keys(1)
    store.write_if_newer([(key, value(5)), (key, tombstone(6, 0))])
    assert store.write_if_newer([(key, value(5, 9))]).written == 0
    assert store.read([key]) == [tombstone(6, 0)]
    assert store.write_if_newer([(key, value(7))]).written == 1


def test_a_value_of_any_bytes_survives(store: OnlineStore) -> None:
    (key,) = new_keys(1)
    anything = value(1) + bytes(range(256)) * 300
    store.write_if_newer([(key, anything)])
    assert store.read([key]) == [anything]


def test_expiry_is_for_each_pair_alone(store: OnlineStore) -> None:
    gone, kept, later = new_keys(3)
    now_ms = store.time_micros() // 1000
    pairs = [(gone, value(1)), (kept, value(1)), (later, value(1))]
    assert store.write_if_newer(pairs, expire_at_ms=[now_ms - 1000, 0, now_ms + 3_600_000]).written == 3
    assert store.read([gone, kept, later]) == [None, value(1), value(1)]
    assert store.write_if_newer([(gone, value(0))]).written == 1
    with pytest.raises(ValueError, match="2 times for 1 pairs"):
        store.write_if_newer([(gone, value(1))], expire_at_ms=[0, 0])


def test_concurrent_writers_leave_the_greatest(store: OnlineStore) -> None:
    keys = new_keys(100)

    def write(order: Callable[[list[int]], list[int]]) -> None:
        for number in order(list(range(20))):
            store.write_if_newer([(key, value(number)) for key in keys])

    orders: list[Callable[[list[int]], list[int]]] = [sorted, lambda n: n[::-1], lambda n: n[::2] + n[1::2]]
    threads = [threading.Thread(target=write, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read(keys) == [value(19)] * 100


def test_records_are_set_and_compared(store: OnlineStore) -> None:
    (record,) = new_keys(1)
    assert not store.replace_record(record, b"", b"x")
    assert store.replace_record(record, None, b"")
    assert not store.replace_record(record, None, b"x")
    assert store.replace_record(record, b"", b"new")
    assert not store.replace_record(record, b"", b"late")
    store.put_record(record, b"put")
    assert store.read([record]) == [b"put"]


def test_deletion_counts_what_there_was(store: OnlineStore) -> None:
    keys = new_keys(5000)
    store.write_if_newer([(key, value(1)) for key in keys[:4999]])
    assert store.delete(keys) == 4999
    assert store.delete(keys) == store.delete([]) == 0
    assert store.read(keys[:2]) == [None, None]


def test_projects_never_share_a_number(store: OnlineStore) -> None:
    names = [f"p{number}" for number in range(20)] + ["0", "next"]
    found: dict[str, set[int]] = {name: set() for name in names}

    def allot() -> None:
        for name in names:
            found[name].add(store.project_id(name))

    threads = [threading.Thread(target=allot) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(numbers) == 1 for numbers in found.values())
    assert len(set.union(*found.values())) == len(names)
    assert min(set.union(*found.values())) >= 1


def test_the_clock_is_in_microseconds(store: OnlineStore) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=store.time_micros())
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_deadline_that_has_passed_is_said_at_once(store: OnlineStore) -> None:
    with pytest.raises(DeadlineExceeded):
        store.read(new_keys(1), deadline=0.0)
