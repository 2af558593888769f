"""Row locks, the same in memory and in Redis of every topology: who may make a value anew."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from featurestore.codec.keys import KeyCodec, lock_key
from featurestore.codec.stamp import STAMP_BYTES
from featurestore.codec.value import tombstone
from featurestore.errors import DeadlineExceeded
from featurestore.spec.dtypes import Int64
from featurestore.stores.base import OnlineStore, WriteCount
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from featurestore.stores.row_locks import Held, RowClaim, RowLocks, RowResult
from tests.support.rows import fields_of
from tests.support.topologies import TOPOLOGIES, opened_store

if TYPE_CHECKING:
    from featurestore.embedded.redis_server import RedisServer

KEYS = KeyCodec(project_id=9, storage_id=1, fields=fields_of(k=Int64))
MINE, THEIRS = b"+mine", b"+theirs"
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


@pytest.fixture
def locks(store: OnlineStore) -> RowLocks:
    return store.row_locks()


def new_keys(count: int) -> list[bytes]:
    keys = KEYS.encode({"k": [next(_serial) for _ in range(count)]})
    return [key for key in keys if key is not None]


def take(locks: RowLocks, keys: list[bytes], token: bytes, *, seen: bytes = b"", seconds: float = 10.0) -> list[object]:
    return list(locks.claim([RowClaim(key=key, seen=seen) for key in keys], token, seconds=seconds).answers)


def test_a_lock_is_taken_once_and_free_again_after_the_write_back(store: OnlineStore, locks: RowLocks) -> None:
    keys = new_keys(100)
    assert take(locks, keys[:60], MINE) == [Held.TAKEN] * 60
    assert take(locks, keys[:60], MINE) == [Held.TAKEN] * 60, "a call whose answer was lost is made again"
    assert take(locks, keys, THEIRS) == [Held.BY_OTHERS] * 60 + [Held.TAKEN] * 40
    values = [tombstone(number, 1) for number in range(60)]
    results = [RowResult(key=key, value=value) for key, value in zip(keys, values, strict=False)]
    assert locks.settle(results, MINE) == WriteCount(
        written=60, ignored=0, bytes_sent=sum(map(len, keys[:60])) + 60 * len(values[0])
    )
    assert store.read(keys[:60]) == values
    assert store.read(list(map(lock_key, keys))) == [None] * 60 + [THEIRS] * 40


def test_a_row_that_changed_since_it_was_read_is_given_instead_of_its_lock(store: OnlineStore, locks: RowLocks) -> None:
    written, removed = new_keys(2)
    old, new = tombstone(1, 1), tombstone(1, 2)
    store.write_if_newer([(written, old), (removed, old)])
    assert take(locks, [written, removed], MINE, seen=b"") == [old, old]
    store.write_if_newer([(written, new)])
    store.delete([removed])
    assert take(locks, [written, removed], MINE, seen=old[:STAMP_BYTES]) == [new, b""]
    assert take(locks, [written], MINE, seen=new[:STAMP_BYTES]) == [Held.TAKEN]
    assert take(locks, [removed], MINE) == [Held.TAKEN]


def test_write_back_is_a_compare_and_set_and_leaves_the_lock_of_another(store: OnlineStore, locks: RowLocks) -> None:
    [key] = new_keys(1)
    take(locks, [key], MINE, seconds=0.01)
    time.sleep(0.03)
    assert take(locks, [key], THEIRS) == [Held.TAKEN]
    newer = tombstone(5, 5)
    store.write_if_newer([(key, newer)])
    assert locks.settle([RowResult(key=key, value=tombstone(4, 9))], MINE).written == 0
    assert store.read([key, lock_key(key)]) == [newer, THEIRS]
    assert locks.settle([RowResult(key=key, value=tombstone(6, 1))], MINE, cooldown=5).written == 1
    assert store.read([lock_key(key)]) == [THEIRS]


def test_a_failure_keeps_everybody_away_for_the_cooldown(store: OnlineStore, locks: RowLocks) -> None:
    failed, fine, unlocked = new_keys(3)
    take(locks, [failed, fine], MINE)
    results = [RowResult(key=key, value=None, failed=key != fine) for key in (failed, fine, unlocked)]
    assert locks.settle(results, MINE, cooldown=0.05).written == 0
    assert take(locks, [failed, fine, unlocked], THEIRS) == [Held.COOLING, Held.TAKEN, Held.COOLING]
    time.sleep(0.07)
    assert take(locks, [failed], THEIRS) == [Held.TAKEN]
    assert locks.settle([RowResult(key=failed, value=None, failed=True)], THEIRS).written == 0
    assert store.read([lock_key(failed)]) == [None]


def test_only_the_holder_renews_and_a_lock_ends_by_itself(locks: RowLocks) -> None:
    keys = new_keys(40)
    take(locks, keys, MINE, seconds=0.15)
    assert locks.renew(keys, THEIRS, seconds=10) == 0
    assert locks.renew(keys[:20], MINE, seconds=10) == 20
    time.sleep(0.2)
    assert take(locks, keys, THEIRS) == [Held.BY_OTHERS] * 20 + [Held.TAKEN] * 20
    assert locks.renew(keys, MINE, seconds=10) == 20


def test_the_time_of_a_claim_is_the_stores(store: OnlineStore, locks: RowLocks) -> None:
    before = store.time_micros()
    claims = locks.claim([RowClaim(key=key, seen=b"") for key in new_keys(70)], MINE, seconds=1)
    assert before <= claims.time_us <= store.time_micros()


@pytest.mark.redis
def test_claims_end_by_the_callers_deadline(redis_server: RedisServer) -> None:
    store = RedisOnlineStore.connect(redis_server.url)
    with pytest.raises(DeadlineExceeded):
        store.row_locks().claim([RowClaim(key=new_keys(1)[0], seen=b"")], MINE, seconds=1, deadline=0)
    store.close()
