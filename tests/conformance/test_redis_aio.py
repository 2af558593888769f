"""The store for asyncio: the rules of the other one, and what only tasks can do: be many, and be cancelled."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable, StateError
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.memory_aio import AsyncMemoryOnlineStore
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.scripts import Script
from tests.conformance.test_online_store import new_keys, value
from tests.support.online import listening, running_redis

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("r")) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as opened:
        opened.flushall()
        opened.config_resetstat()
        yield opened


def run(url: str, use: Callable[[AsyncRedisOnlineStore], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        store = AsyncRedisOnlineStore.connect(url, **options)
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_values_come_in_the_order_of_keys_by_one_command(url: str, client: redis.Redis) -> None:
    async def use(store: AsyncRedisOnlineStore) -> None:
        keys = new_keys(300)
        assert (await store.write_if_newer([(key, value(n)) for n, key in enumerate(keys)])).written == 300
        assert (await store.write_if_newer([(keys[5], value(4)), (keys[6], value(7))])).written == 1
        client.config_resetstat()
        assert await store.read([keys[6], b"absent", keys[5]]) == [value(7), None, value(5)]
        assert await store.read([]) == []
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1

    run(url, use)


def test_scripts_are_called_on_groups(url: str, client: redis.Redis) -> None:
    async def use(store: AsyncRedisOnlineStore) -> None:
        client.script_flush()
        script = Script("return {#KEYS, ARGV[1]}")
        groups = [([b"a"] * len(places), [b"v"]) for places in store.group_keys([b"a"] * 70)]
        assert await store.run_script(script, groups) == [[64, b"v"], [6, b"v"]]
        with pytest.raises(StateError, match="WRONGTYPE"):
            await store.run_script(Script("return redis.error_reply('WRONGTYPE x')"), [([b"a"], [])])

    run(url, use)


def test_many_tasks_share_few_connections(url: str, client: redis.Redis) -> None:
    client.set("x", "1")

    async def use(store: AsyncRedisOnlineStore) -> None:
        found = await asyncio.gather(*(store.read([b"x"]) for _ in range(200)))
        assert found == [[b"1"]] * 200
        assert client.info("clients")["connected_clients"] <= 3 + 1

    run(url, use, max_connections=3)


def test_a_late_answer_is_never_given_to_the_next_call(url: str, client: redis.Redis) -> None:
    client.set("x", "1")

    async def use(store: AsyncRedisOnlineStore) -> None:
        await store.read([b"x"])
        client.execute_command("CLIENT", "PAUSE", "300")
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await store.read([b"x"], deadline=0.1)
        assert time.monotonic() - started < 0.8
        assert await store.read([b"absent"]) == [None]
        with pytest.raises(DeadlineExceeded):
            await store.read([b"x"], deadline=0.0)

    run(url, use)


def test_a_cancelled_read_leaves_no_answer_behind(url: str, client: redis.Redis) -> None:
    client.set("x", "1")

    async def use(store: AsyncRedisOnlineStore) -> None:
        await store.read([b"x"])
        client.execute_command("CLIENT", "PAUSE", "200")
        reads = [asyncio.ensure_future(store.read([b"x"])) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in reads:
            task.cancel()
        assert await store.read([b"absent"]) == [None]
        assert await asyncio.gather(*reads, return_exceptions=True) != []

    run(url, use, max_connections=1)


def test_who_finds_no_free_connection_waits_until_the_deadline(url: str, client: redis.Redis) -> None:
    async def use(store: AsyncRedisOnlineStore) -> None:
        await store.read([b"x"])
        client.execute_command("CLIENT", "PAUSE", "300")
        holder = asyncio.ensure_future(store.read([b"x"]))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match="all 1 connections are in use"):
            await store.read([b"x"], deadline=0.1)
        assert await store.read([b"x"]) == await holder == [None]

    run(url, use, max_connections=1)


def test_lost_connections_and_servers(url: str, client: redis.Redis, tmp_path: Path) -> None:
    async def use(store: AsyncRedisOnlineStore) -> None:
        await store.read([b"x"])
        client.client_kill_filter(_type="normal", skipme=True)
        assert await store.read([b"x"]) == [None]

    run(url, use)

    async def fail(store: AsyncRedisOnlineStore) -> None:
        with pytest.raises(OnlineStoreUnavailable):
            await store.read([b"x"])

    run(f"unix://{tmp_path}/none", fail)
    with listening(tmp_path / "s", lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n")) as other:
        run(other, fail)


def test_a_server_that_never_says_hello_is_late(tmp_path: Path) -> None:
    def hold(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.recv(1)

    async def use(store: AsyncRedisOnlineStore) -> None:
        with pytest.raises(DeadlineExceeded):
            await store.read([b"x"], deadline=0.1)

    with listening(tmp_path / "s", hold) as url:
        run(url, use)


def test_another_event_loop_and_a_pickled_copy_have_connections_of_their_own(url: str, client: redis.Redis) -> None:
    store = pickle.loads(pickle.dumps(AsyncRedisOnlineStore.connect(url)))

    async def read() -> list[bytes | None]:
        try:
            found: list[bytes | None] = await store.read([b"x"])
            return found
        finally:
            await store.close()

    assert asyncio.run(read()) == asyncio.run(read()) == [None]


def test_memory_is_read_alike() -> None:
    inner = MemoryOnlineStore()
    inner.put_record(b"x", b"1")
    assert asyncio.run(AsyncMemoryOnlineStore(inner).read([b"x", b"y"])) == [b"1", None]
