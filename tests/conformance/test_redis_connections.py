"""The pool: bounded, waited for within the deadline, and lost connections made up for by a few tries."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import redis

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.online import listening, running_redis

pytestmark = pytest.mark.redis
HELLO = b"%1\r\n+proto\r\n:3\r\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("r")) as address:
        yield address


def test_no_more_connections_than_the_bound_serve_many_threads(url: str) -> None:
    store = RedisOnlineStore.connect(url, max_connections=2)
    store.put_record(b"x", b"1")
    found: list[bytes | None] = []
    threads = [
        threading.Thread(target=lambda: [found.extend(store.read([b"x"])) for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"1"] * 1600
    with redis.Redis.from_url(url) as client:
        assert client.info("clients")["connected_clients"] <= 2 + 1
    store.close()


def test_who_finds_no_free_connection_waits_until_the_deadline(url: str) -> None:
    store = RedisOnlineStore.connect(url, max_connections=1)
    store.read([b"x"])
    with redis.Redis.from_url(url) as client:
        client.execute_command("CLIENT", "PAUSE", "400")
    holder = threading.Thread(target=store.read, args=([b"x"],))
    holder.start()
    time.sleep(0.05)
    with pytest.raises(DeadlineExceeded, match="all 1 connections are in use; raise max_connections"):
        store.read([b"x"], deadline=0.1)
    assert store.read([b"absent"], deadline=5.0) == [None]
    holder.join()
    store.close()


def test_a_lone_server_that_is_gone_is_said_after_a_few_tries(tmp_path: Path) -> None:
    tries = count()

    def end(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        next(tries)

    with listening(tmp_path / "s", end) as url:
        started = time.monotonic()
        with pytest.raises(OnlineStoreUnavailable, match="the server ended the connection"):
            RedisOnlineStore.connect(url, retries=3).put_record(b"x", b"1")
        assert next(tries) == 4
        assert time.monotonic() - started < 1.0


def test_a_call_that_may_run_once_only_is_not_made_again(tmp_path: Path) -> None:
    tries = count()

    def end_after_hello(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(HELLO)
        connection.recv(1 << 16)
        next(tries)

    with listening(tmp_path / "s", end_after_hello) as url, pytest.raises(OnlineStoreUnavailable):
        RedisOnlineStore.connect(url).run_script(Script("return 1"), [([b"x"], [b"v"])], repeats=False)
    assert next(tries) == 1


def test_a_record_replaced_by_an_attempt_whose_answer_was_lost_is_replaced(tmp_path: Path, url: str) -> None:
    """A proxy lets the first script through and loses its answer."""
    scripts = count()

    def lose_first(connection: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(url.removeprefix("unix://"))
            while data := connection.recv(1 << 16):
                server.sendall(data)
                answer = server.recv(1 << 16)
                if b"EVALSHA" in data and b"NOSCRIPT" not in answer and next(scripts) == 0:
                    return
                connection.sendall(answer)

    with listening(tmp_path / "s", lose_first) as lossy, closing(RedisOnlineStore.connect(lossy)) as store:
        assert store.replace_record(b"record", None, b"new")
        assert not store.replace_record(b"record", None, b"new")
        assert store.read([b"record"]) == [b"new"]


def test_an_answer_to_nobody_is_given_to_nobody(tmp_path: Path) -> None:
    def answer_twice(connection: socket.socket) -> None:
        while data := connection.recv(1 << 16):
            connection.sendall(HELLO if b"HELLO" in data else b"*1\r\n$1\r\n1\r\n*1\r\n$1\r\n2\r\n")

    async def read(url: str) -> None:
        store = AsyncRedisOnlineStore.connect(url, retries=1)
        with pytest.raises(OnlineStoreUnavailable, match="said more than it was asked"):
            await store.read([b"x"])
        await store.close()

    with listening(tmp_path / "s", answer_twice) as url, closing(RedisOnlineStore.connect(url, retries=1)) as store:
        with pytest.raises(OnlineStoreUnavailable, match="said more than it was asked"):
            store.read([b"x"])
        asyncio.run(read(url))


@pytest.mark.parametrize("code", ["LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN"])
def test_a_server_that_is_not_ready_is_waited_for(tmp_path: Path, code: str) -> None:
    refusals = count()

    def refuse_thrice(connection: socket.socket) -> None:
        while data := connection.recv(1 << 16):
            is_ready = b"HELLO" in data or next(refusals) >= 3
            answer = HELLO if b"HELLO" in data else b"*1\r\n$1\r\n1\r\n"
            connection.sendall(answer if is_ready else b"-%b not now\r\n" % code.encode())

    with listening(tmp_path / "s", refuse_thrice) as url, closing(RedisOnlineStore.connect(url)) as store:
        assert store.read([b"x"]) == [b"1"]
        assert next(refusals) == 4


def test_a_server_that_never_gets_ready_is_said_at_the_deadline(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        while data := connection.recv(1 << 16):
            connection.sendall(HELLO if b"HELLO" in data else b"-LOADING not now\r\n")

    with listening(tmp_path / "s", refuse) as url, closing(RedisOnlineStore.connect(url)) as store:
        started = time.monotonic()
        with pytest.raises(OnlineStoreUnavailable, match="it is loading its data set"):
            store.read([b"x"], deadline=0.3)
        assert time.monotonic() - started < 1.0
