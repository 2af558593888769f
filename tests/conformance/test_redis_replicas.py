"""Reads from replicas: rows go there, records and writes never; a replica that fails is left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from featurestore.settings import parse_settings
from featurestore.stores.online import OnlineAddress
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.conformance.test_online_store import new_keys, value
from tests.support.redis_cluster import running_cluster
from tests.support.redis_nodes import RedisNode, running_sentinels, until

pytestmark = pytest.mark.redis


def mgets(*nodes: RedisNode) -> int:
    """Count reads; the write script's own are in the count of primaries."""
    count = 0
    for node in nodes:
        with node.client() as client:
            stats = client.info("commandstats")
            count += stats.get("cmdstat_mget", {}).get("calls", 0)
    return count


@pytest.fixture(scope="module", params=["server", "sentinel", "cluster"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, object], list[RedisNode], list[RedisNode]]]:
    """Give connection string, options, primaries and replicas."""
    folder = tmp_path_factory.mktemp("r")
    with ExitStack() as stack:
        if request.param == "cluster":
            cluster = stack.enter_context(running_cluster(folder, has_replicas=True))
            yield cluster.url, {}, list(cluster.primaries), list(cluster.replicas)
            return
        pair = stack.enter_context(running_sentinels(folder))
        primary, replica = pair.primary(), pair.replica()
        if request.param == "sentinel":
            yield pair.url, {}, [primary], [replica]
        else:
            yield primary.url, {"replicas": [replica.host_port]}, [primary], [replica]


def test_rows_are_read_from_replicas_and_records_from_primaries(
    servers: tuple[str, dict[str, object], list[RedisNode], list[RedisNode]],
) -> None:
    url, options, primaries, replicas = servers
    keys = new_keys(20)
    with closing(RedisOnlineStore.connect(url, read_from="replica", **options)) as store:
        store.write_if_newer([(key, value(1)) for key in keys])
        store.put_record(b"featurestore:pointer:p", b"1")
        before = mgets(*primaries), mgets(*replicas)
        until(lambda: store.read([b"featurestore:pointer:p", *keys]) == [b"1", *[value(1)] * 20])
        assert mgets(*primaries) == before[0] and mgets(*replicas) > before[1]
        seen = mgets(*replicas)
        assert store.read([b"featurestore:pointer:p"]) == [b"1"]
        assert mgets(*replicas) == seen and mgets(*primaries) == before[0] + 1

    async def read() -> None:
        reader = AsyncRedisOnlineStore.connect(url, read_from="replica", **options)
        assert await reader.read([b"featurestore:pointer:p", *keys]) == [b"1", *[value(1)] * 20]
        await reader.close()

    asyncio.run(read())
    assert mgets(*replicas) > seen and mgets(*primaries) == before[0] + 1


def test_a_replica_that_is_lost_is_left_alone(
    servers: tuple[str, dict[str, object], list[RedisNode], list[RedisNode]],
) -> None:
    url, options, _, replicas = servers
    keys = new_keys(20)
    with closing(RedisOnlineStore.connect(url, read_from="replica", **options)) as store:
        store.write_if_newer([(key, value(1)) for key in keys])
        until(lambda: store.read(keys) == [value(1)] * 20)
        for replica in replicas:
            replica.kill()
        started = time.monotonic()
        for _ in range(5):
            assert store.read(keys) == [value(1)] * 20
        assert time.monotonic() - started < 1.0


def test_publications_read_what_they_wrote_from_primaries(tmp_path: Path) -> None:
    online = {
        "type": "redis",
        "connection_string": "redis://a",
        "read_from": "replica",
        "replicas": ["b"],
        "retries": 1,
    }
    address = OnlineAddress.of(parse_settings({"project": "p", "online_store": online}, repo=tmp_path))
    assert hash(address)
    for for_lookups, expected in ((False, "primary"), (True, "replica")):
        store = address.connect(for_lookups=for_lookups)
        assert isinstance(store, RedisOnlineStore)
        assert store.options.read_from == expected
        assert (store.options.retries, store.options.deadline) == (1, 5.0)
