"""Every way that a store reaches Redis, each with real servers: unix socket, TCP, TLS, Sentinel, cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.markdown import read_blocks
from tests.support.online import locale_environment, running_redis
from tests.support.redis_cluster import running_cluster
from tests.support.redis_nodes import redis_program, running_node, running_sentinels
from tests.support.tls import tls_files

__all__ = ["TOPOLOGIES", "Address", "documented_rights", "opened_store", "running_topology"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "online-store.md"
TOPOLOGIES = ("unix", "unix-7.0", "unix-en_US", "tls", "sentinel", "cluster", "cluster-7.0")


@dataclass(frozen=True, slots=True)
class Address:
    """What feature_store.yaml would say."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def connect(self) -> RedisOnlineStore:
        return RedisOnlineStore.connect(self.url, **self.options)


@contextmanager
def running_topology(name: str, folder: Path) -> Iterator[Address]:
    """Run one of ``TOPOLOGIES``; skip what this machine lacks a program for."""
    kind, _, variant = name.partition("-")
    version = "7.0" if kind == "tls" or variant == "7.0" else "6.2"
    if redis_program(version) is None:
        pytest.skip("no Redis 7 on the PATH (scripts/ensure_redis7.sh)")
    with ExitStack() as stack:
        match kind:
            case "unix":
                environment = locale_environment(folder) if variant == "en_US" else {}
                if environment is None:
                    pytest.skip("localedef cannot build en_US.UTF-8 here (Debian: locales)")
                yield Address(stack.enter_context(running_redis(folder, environment=environment, version=version)))
            case "tls":
                yield stack.enter_context(_tls(folder))
            case "sentinel":
                yield Address(stack.enter_context(running_sentinels(folder, version=version)).url)
            case "cluster":
                yield Address(stack.enter_context(running_cluster(folder, version=version)).url)
            case _:
                raise AssertionError(name)


@contextmanager
def opened_store(name: str, folder: Path) -> Iterator[RedisOnlineStore]:
    with running_topology(name, folder) as address:
        store = address.connect()
        yield store
        store.close()


def documented_rights() -> list[str]:
    """Give the commands that docs/online-store.md asks for."""
    (block,) = (block for block in read_blocks(PAGE) if block.language == "text")
    return block.text.split()


@contextmanager
def _tls(folder: Path) -> Iterator[Address]:
    """A server that speaks TLS only, wants a client's certificate, and knows one user beside the default's password."""
    files = tls_files(folder / "tls")
    options = ("--user", "app", "on", ">s3cret", "~*", *documented_rights(), "--requirepass", "other")
    log_in = {"username": "app", "password": "s3cret"}
    with running_node(folder / "n", *options, version="7.0", tls=files, log_in=log_in) as node:
        yield Address(f"rediss://{node.host_port}", {**log_in, **files.client_options()})
