"""A primary under Sentinels is killed or stands still, during lookups and during a publication."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.runtime.senders import LocalPairs, SendPlan
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.conformance.test_online_store import KEYS, new_keys, value
from tests.support.redis_nodes import SentinelSet, running_sentinels, until
from tests.support.traffic import Traffic

pytestmark = pytest.mark.redis

PLAN = SendPlan(fields=KEYS.fields, rate_key=b"rate")
SLACK = 0.7
"""Seconds that a busy machine may add to a deadline."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[SentinelSet]:
    with running_sentinels(tmp_path) as running:
        yield running


@pytest.fixture
def store(servers: SentinelSet) -> Iterator[RedisOnlineStore]:
    with closing(RedisOnlineStore.connect(servers.url)) as opened:
        yield opened


def written(servers: SentinelSet, store: RedisOnlineStore, count: int) -> list[bytes]:
    """Write value 1 for new keys, and wait until the replica has it."""
    keys = new_keys(count)
    store.write_if_newer([(key, value(1)) for key in keys])
    with servers.replica().client() as client:
        until(lambda: client.mget(keys) == [value(1)] * count)
    return keys


def test_lookups_go_on_when_the_primary_is_killed(servers: SentinelSet, store: RedisOnlineStore) -> None:
    keys = written(servers, store, 50)
    with Traffic.reads(store, keys, deadline=5.0) as traffic:
        traffic.wait_for_more()
        servers.primary().kill()
        traffic.wait_for_more()
    assert traffic.errors == traffic.unexpected == []
    assert all(answer == [value(1)] * 50 for answer in traffic.answers)
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 50


def test_lookups_with_short_deadlines_fail_in_time_and_then_go_on(
    servers: SentinelSet, store: RedisOnlineStore
) -> None:
    """A primary that stands still says nothing: only deadlines end the wait for it."""
    keys = written(servers, store, 50)
    old = servers.primary()
    with Traffic.reads(store, keys, deadline=0.3) as traffic:
        traffic.wait_for_more()
        old.send(signal.SIGSTOP)
        until(lambda: bool(traffic.errors))
        traffic.wait_for_more()
        old.send(signal.SIGCONT)
        traffic.wait_for_more()
    assert traffic.unexpected == []
    assert {type(error) for error in traffic.errors} <= {DeadlineExceeded, OnlineStoreUnavailable}
    assert traffic.longest < 0.3 + SLACK
    assert all(answer == [value(1)] * 50 for answer in traffic.answers)
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 50
    with servers.primary().client() as client:
        assert client.mget(keys) == [value(2)] * 50


class Interrupted(tuple[pa.RecordBatch, ...]):
    """Batches with something between the first and the others."""

    def __new__(cls, batches: Iterable[pa.RecordBatch], between: Callable[[], None]) -> Interrupted:
        made = super().__new__(cls, batches)
        made.between = between
        return made

    between: Callable[[], None]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield self[0]
        self.between()
        yield from self[1:]


def encoded(keys: list[bytes]) -> pa.RecordBatch:
    columns = {"key": pa.array(keys, pa.binary()), "value": pa.array([value(1)] * len(keys), pa.binary())}
    rest = {"expire_at_ms": pa.array([0] * len(keys), pa.int64()), "is_expired": pa.array([False] * len(keys))}
    return pa.record_batch({**columns, **rest})


def test_a_publication_goes_on_and_what_was_lost_is_found(servers: SentinelSet, store: RedisOnlineStore) -> None:
    """Replication is asynchronous: what the new primary never got is named by the comparison, and sent again."""
    keys = new_keys(20_000)
    old = servers.primary()
    pairs = LocalPairs(store, Interrupted((encoded(keys[:10_000]), encoded(keys[10_000:])), old.kill), PLAN)
    assert pairs.send().sent == len(keys)
    assert servers.primary() is not old
    checked, wrong, sample = pairs.compare()
    assert checked == len(keys)
    assert (wrong > 0) == bool(sample)
    assert pairs.send().sent == len(keys)
    assert pairs.compare() == (len(keys), 0, [])
    assert store.read(keys) == [value(1)] * len(keys)


def test_tasks_follow_a_failover(servers: SentinelSet, store: RedisOnlineStore) -> None:
    keys = written(servers, store, 50)

    async def read() -> None:
        reader = AsyncRedisOnlineStore.connect(servers.url)
        assert await reader.read(keys) == [value(1)] * 50
        servers.primary().kill()
        found = await asyncio.gather(*(reader.read(keys) for _ in range(20)))
        assert found == [[value(1)] * 50] * 20
        assert (await reader.write_if_newer([(key, value(2)) for key in keys])).written == 50
        await reader.close()

    asyncio.run(read())


def test_no_sentinel_is_unavailable_at_the_deadline(servers: SentinelSet, store: RedisOnlineStore) -> None:
    store.read([b"x"])
    servers.sentinel.kill()
    assert store.read([b"x"]) == [None]
    with closing(RedisOnlineStore.connect(servers.url)) as late:
        started = time.monotonic()
        with pytest.raises(OnlineStoreUnavailable, match="Connection refused"):
            late.read([b"x"], deadline=0.4)
        assert time.monotonic() - started < 0.4 + SLACK


def test_an_unknown_service_is_named(servers: SentinelSet) -> None:
    url = servers.url.replace("/main", "/other")
    told = pytest.raises(OnlineStoreUnavailable, match="watches no service named 'other'")
    with closing(RedisOnlineStore.connect(url)) as store, told:
        store.read([b"x"], deadline=0.3)
