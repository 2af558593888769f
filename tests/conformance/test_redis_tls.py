"""TLS and log-in: what is checked, what is refused with which error, and that no secret is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import OnlineStoreUnavailable
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.online import running_redis
from tests.support.tls import tls_files
from tests.support.topologies import Address, running_topology

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with TLS, a client's certificate demanded, and the user ``app``."""
    with running_topology("tls", tmp_path_factory.mktemp("r")) as address:
        yield address


def read(url: str, options: dict[str, Any]) -> None:
    with closing(RedisOnlineStore.connect(url, retries=0, **options)) as store:
        assert store.read([b"absent"]) == [None]


def test_certificates_and_log_in_are_right(server: Address) -> None:
    read(server.url, server.options)
    read(server.url.replace("127.0.0.1", "localhost"), server.options)
    read(server.url.replace("//", "//app:s3cret@"), {k: v for k, v in server.options.items() if "ssl" in k})

    async def use() -> None:
        store = AsyncRedisOnlineStore.connect(server.url, **server.options)
        assert await store.read([b"absent"]) == [None]
        await store.close()

    asyncio.run(use())


def test_a_connection_is_used_again(server: Address) -> None:
    with closing(RedisOnlineStore.connect(server.url, **server.options)) as store:
        store.read([b"absent"])
        connected = connections(store)
        for _ in range(20):
            store.read([b"absent"])
        assert connections(store) == connected


def connections(store: RedisOnlineStore) -> int:
    (info,) = store.run_script(Script("return redis.call('INFO', 'stats')"), [([b"x"], [])])
    return int(info.decode().partition("total_connections_received:")[2].partition("\r")[0])


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ({"ssl_ca_certs"}, "CERTIFICATE_VERIFY_FAILED.*check ssl_ca_certs"),
        ({"ssl_certfile", "ssl_keyfile"}, "CERTIFICATE_REQUIRED|certificate required|EOF occurred|reset by peer|ended"),
        ({"username", "password"}, "NOAUTH.*check user name, password"),
        ({"username"}, "WRONGPASS.*check user name, password"),
    ],
    ids=["authority", "certificate", "log-in", "user"],
)
def test_what_is_missing_is_refused(server: Address, without: set[str], message: str) -> None:
    options = {name: value for name, value in server.options.items() if name not in without}
    with pytest.raises(OnlineStoreUnavailable, match=message) as caught:
        read(server.url, options)
    assert "s3cret" not in str(caught.value) + repr(caught.value.context)


def test_a_certificate_of_another_authority_is_refused(server: Address, tmp_path: Path) -> None:
    other = str(tls_files(tmp_path).authority)
    with pytest.raises(OnlineStoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        read(server.url, {**server.options, "ssl_ca_certs": other})
    read(server.url, {**server.options, "ssl_ca_certs": other, "ssl_cert_reqs": "none"})


def test_a_certificate_of_another_name_is_refused(server: Address) -> None:
    """The server listens on every address of this machine; its certificate names one."""
    url = server.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(OnlineStoreUnavailable, match=r"IP address mismatch.*check ssl_ca_certs"):
        read(url, server.options)


def test_plain_words_to_a_tls_server_are_refused(server: Address) -> None:
    with pytest.raises(OnlineStoreUnavailable):
        read(server.url.replace("rediss", "redis"), {})


def test_a_user_without_rights_is_told(tmp_path: Path) -> None:
    options = ("--user", "reader", "on", ">s3cret", "~featurestore:*", "+mget")
    with running_redis(tmp_path, *options, version="6.2") as url:
        log_in = {"username": "reader", "password": "s3cret"}
        with closing(RedisOnlineStore.connect(url, **log_in)) as store:
            assert store.read([b"featurestore:x"]) == [None]
            with pytest.raises(OnlineStoreUnavailable, match=r"NOPERM.*the user's ACL"):
                store.read([b"other"])
            with pytest.raises(OnlineStoreUnavailable, match=r"NOPERM.*the user's ACL"):
                store.put_record(b"featurestore:x", b"1")
