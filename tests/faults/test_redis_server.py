"""One server is killed, comes back empty, stands still, is full, turns replica, or is far away."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from featurestore.errors import DeadlineExceeded, FeatureStoreError, OnlineStoreUnavailable
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.conformance.test_online_store import new_keys, value
from tests.support.redis_nodes import RedisNode, running_node
from tests.support.slow_network import slow_network

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNode]:
    """A server that has every acknowledged write on disk."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with running_node(tmp_path_factory.mktemp("n"), *options) as running:
        yield running


@pytest.fixture
def store(node: RedisNode) -> Iterator[RedisOnlineStore]:
    with closing(RedisOnlineStore.connect(node.url, deadline=2.0, write_deadline=2.0)) as opened:
        yield opened


@pytest.fixture
def keys(store: RedisOnlineStore) -> list[bytes]:
    """Keys that hold value 1."""
    made = new_keys(200)
    store.write_if_newer([(key, value(1)) for key in made])
    return made


@contextmanager
def told(kind: type[FeatureStoreError], *, within: float, match: str | None = None) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(kind, match=match):
        yield
    assert time.monotonic() - started < within


def test_a_killed_server_is_said_at_once_and_nothing_is_lost(
    node: RedisNode, store: RedisOnlineStore, keys: list[bytes]
) -> None:
    node.kill()
    with told(OnlineStoreUnavailable, within=2.0, match="featurestore doctor"):
        store.read(keys)
    with told(OnlineStoreUnavailable, within=1.0):
        store.write_if_newer([(key, value(2)) for key in keys])
    node.start()
    assert store.read(keys) == [value(1)] * 200
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 200


def test_a_server_that_comes_back_empty_answers_nothing_wrong(
    node: RedisNode, store: RedisOnlineStore, keys: list[bytes]
) -> None:
    node.command("FLUSHALL")
    node.command("SCRIPT", "FLUSH")
    assert store.read(keys) == [None] * 200
    assert store.write_if_newer([(key, value(1)) for key in keys]).written == 200
    assert store.read(keys) == [value(1)] * 200


def test_a_server_that_stands_still_is_late_and_goes_on_later(
    node: RedisNode, store: RedisOnlineStore, keys: list[bytes]
) -> None:
    node.send(signal.SIGSTOP)
    try:
        with told(DeadlineExceeded, within=1.0, match="MGET at redis://"):
            store.read(keys, deadline=0.2)
        with (
            closing(RedisOnlineStore.connect(node.url, write_deadline=0.2)) as hasty,
            told(DeadlineExceeded, within=1.0),
        ):
            hasty.write_if_newer([(key, value(3)) for key in keys])
    finally:
        node.send(signal.SIGCONT)
    assert set(store.read(keys)) <= {value(1), value(3)}
    store.write_if_newer([(key, value(2)) for key in keys])
    store.write_if_newer([(key, value(3)) for key in keys])
    assert store.read(keys) == [value(3)] * 200


def test_full_memory_refuses_writes_and_answers_reads(
    node: RedisNode, store: RedisOnlineStore, keys: list[bytes]
) -> None:
    node.command("CONFIG", "SET", "maxmemory", "1")
    with told(OnlineStoreUnavailable, within=1.0, match="its memory is full: raise maxmemory"):
        store.write_if_newer([(key, value(2)) for key in keys])
    assert store.read(keys) == [value(1)] * 200
    node.command("CONFIG", "SET", "maxmemory", "0")
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 200


def test_a_server_that_became_a_replica_refuses_writes_and_answers_reads(
    node: RedisNode, store: RedisOnlineStore, keys: list[bytes]
) -> None:
    node.command("REPLICAOF", "127.0.0.1", "1")
    try:
        with told(OnlineStoreUnavailable, within=1.0, match="READONLY.*it is a replica; connect to the primary"):
            store.write_if_newer([(key, value(2)) for key in keys])
        assert store.read(keys) == [value(1)] * 200
    finally:
        node.command("REPLICAOF", "NO", "ONE")
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 200


def test_a_slow_network_is_late_for_short_deadlines_only(node: RedisNode, keys: list[bytes]) -> None:
    with slow_network(node.port) as network, closing(RedisOnlineStore.connect(f"redis://{network.host_port}")) as store:
        network.delay = 0.05
        assert store.read(keys) == [value(1)] * 200
        with told(DeadlineExceeded, within=0.8):
            store.read(keys, deadline=0.05)
        assert store.read([b"absent", *keys]) == [None, *[value(1)] * 200]

        async def read() -> None:
            reader = AsyncRedisOnlineStore.connect(f"redis://{network.host_port}")
            assert await reader.read(keys) == [value(1)] * 200
            with pytest.raises(DeadlineExceeded):
                await reader.read(keys, deadline=0.05)
            assert await reader.read([b"absent", *keys]) == [None, *[value(1)] * 200]
            await reader.close()

        asyncio.run(read())


def test_an_answer_that_is_cut_off_is_asked_for_again(node: RedisNode, keys: list[bytes]) -> None:
    with slow_network(node.port) as network, closing(RedisOnlineStore.connect(f"redis://{network.host_port}")) as store:
        store.read(keys)
        network.cut_after = 100
        with told(OnlineStoreUnavailable, within=1.0):
            store.read(keys)
        network.cut_after = None
        assert store.read(keys) == [value(1)] * 200
        assert network.connections > 3


def test_tasks_share_the_fate_of_threads(node: RedisNode, keys: list[bytes]) -> None:
    async def read() -> None:
        reader = AsyncRedisOnlineStore.connect(node.url)
        assert await reader.read(keys) == [value(1)] * 200
        node.kill()
        with pytest.raises(OnlineStoreUnavailable):
            await reader.read(keys)
        node.start()
        assert await reader.read(keys) == [value(1)] * 200
        node.send(signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded):
            await reader.read(keys, deadline=0.1)
        node.send(signal.SIGCONT)
        assert await reader.read([b"absent", *keys]) == [None, *[value(1)] * 200]
        await reader.close()

    asyncio.run(read())
