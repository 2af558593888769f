"""Sets, logs, rates, expiry and scans of every online store."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from featurestore.codec.keys import KeyCodec
from featurestore.spec.dtypes import Int64
from featurestore.stores.base import OnlineStore
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.online import running_redis
from tests.support.rows import fields_of, number_rows


@pytest.fixture(scope="module", params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    with running_redis(tmp_path_factory.mktemp("r")) as url:
        store = RedisOnlineStore.connect(url)
        yield store
        store.close()


@pytest.fixture
def store(shared: OnlineStore) -> OnlineStore:
    for keys in list(shared.scan(b"*", lot=1000)):
        shared.delete(keys)
    shared.delete([b"set", b"log"])
    return shared


def test_sets_of_keys(store: OnlineStore) -> None:
    key = b"set"
    assert list(store.members(key)) == []
    names = [b"%d" % number for number in range(3_000)]
    store.add_members(key, names)
    store.add_members(key, names[:5])
    assert sorted(itertools.chain.from_iterable(store.members(key))) == sorted(names)
    assert store.delete([key]) == 1
    assert list(store.members(key)) == []


def test_logs_keep_the_last_entries(store: OnlineStore) -> None:
    key = b"log"
    assert store.entries(key, last=3) == []
    store.append_entries(key, [b"1", b"2"], keep=1_000)
    store.append_entries(key, [b"3"], keep=1_000)
    assert store.entries(key, last=2) == [b"3", b"2"]
    assert store.delete([key]) == 1


def test_turns_of_a_shared_rate_are_given_in_order_and_none_is_saved_up(store: OnlineStore) -> None:
    waits = [store.reserve(b"rate", 100, per_second=1_000) for _ in range(4)]
    assert waits == pytest.approx([0, 0.1, 0.2, 0.3], abs=0.05)
    assert store.reserve(b"other", 100, per_second=1_000) == 0
    time.sleep(0.5)
    assert [store.reserve(b"rate", 100, per_second=1_000) for _ in range(2)] == pytest.approx([0, 0.1], abs=0.05)


def test_expiry_is_extended_and_never_cut(store: OnlineStore) -> None:
    now_ms = store.time_micros() // 1000
    [value] = number_rows(1)
    ends = [now_ms + 300, now_ms + 60_000, now_ms + 300, 0]
    keys = [b"short", b"long", b"for ever", b"lasting"]
    store.write_if_newer([(key, value) for key in keys], expire_at_ms=ends)
    store.extend_expiry([*keys, b"absent"], [now_ms + 60_000, now_ms + 300, 0, now_ms + 300, now_ms + 300])
    time.sleep(0.4)
    assert store.read([*keys, b"absent"]) == [value, value, value, value, None]


def test_a_later_row_brings_its_own_expiry(store: OnlineStore) -> None:
    """Physical expiry is right for the row that stands: cleared when that one has none, unmoved by ignored ones."""
    now_ms = store.time_micros() // 1000
    old, new, newer = (number_rows(1, event_us=event)[0] for event in (1, 2, 3))
    store.write_if_newer([(b"cleared", old), (b"later", old), (b"kept", new)], expire_at_ms=[now_ms + 200] * 2 + [0])
    store.write_if_newer(
        [(b"cleared", new), (b"later", newer), (b"kept", old)], expire_at_ms=[0, now_ms + 60_000, now_ms + 200]
    )
    time.sleep(0.3)
    assert store.read([b"cleared", b"later", b"kept"]) == [new, newer, new]


def test_a_scan_finds_the_keys_of_one_view_version_and_no_others(store: OnlineStore) -> None:
    fields = fields_of(k=Int64)
    codecs = {
        (project, storage): KeyCodec(project_id=project, storage_id=storage, fields=fields)
        for project, storage in itertools.product((1, 11, 42, 128), (1, 11, 63, 92))
    }
    [value] = number_rows(1)
    keys = {name: [key for key in codec.encode({"k": list(range(40))}) if key] for name, codec in codecs.items()}
    store.write_if_newer([(key, value) for some in keys.values() for key in some])
    for name, codec in codecs.items():
        found = set(itertools.chain.from_iterable(store.scan(codec.scan_pattern(), lot=100)))
        assert found == set(keys[name])
