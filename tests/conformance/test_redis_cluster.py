"""What only a cluster can show: commands for each shard, slots that move, scripts grouped by slot."""

from __future__ import annotations

import asyncio
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from featurestore.codec.keys import project_ids_key
from featurestore.errors import OnlineStoreUnavailable, StateError
from featurestore.stores.redis.aio import AsyncRedisOnlineStore
from featurestore.stores.redis.requests import KEYS_PER_SCRIPT
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.slots import slot_of
from featurestore.stores.redis.store import RedisOnlineStore
from tests.conformance.test_online_store import new_keys, value
from tests.support.redis_cluster import ClusterSet, running_cluster
from tests.support.redis_nodes import RedisNode, running_node

pytestmark = pytest.mark.redis

COUNT = Script("local n = 0 for i = 1, #KEYS do n = n + redis.call('EXISTS', KEYS[i]) end return n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSet]:
    with running_cluster(tmp_path_factory.mktemp("c")) as running:
        yield running


@pytest.fixture
def store(cluster: ClusterSet) -> Iterator[RedisOnlineStore]:
    with closing(RedisOnlineStore.connect(cluster.url)) as opened:
        yield opened


def calls(node: RedisNode) -> Counter[str]:
    with node.client() as client:
        stats = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})


def slot_keys(count: int) -> list[bytes]:
    """Give keys of one slot that no other test uses."""
    (tag,) = new_keys(1)
    return [tag + b":%d" % number for number in range(count)]


def another(cluster: ClusterSet, slot: int) -> RedisNode:
    owner = cluster.owner(slot)
    return next(node for node in cluster.primaries if node is not owner)


def test_slots_are_those_of_the_server(cluster: ClusterSet) -> None:
    for key in (b"x", b"{x}y", b"a{x}y", b"{}x", b"{x", b"}{x}", b"{a}{b}", project_ids_key(), *new_keys(50)):
        assert slot_of(key) == cluster.primaries[0].command("CLUSTER", "KEYSLOT", key)


def test_a_read_is_one_command_for_each_slot_sent_to_its_shard(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    keys = new_keys(40)
    store.write_if_newer([(key, value(1)) for key in keys])
    for node in cluster.primaries:
        node.command("CONFIG", "RESETSTAT")
    tables = [key + b":other" for key in keys]
    assert store.read([*keys, *tables]) == [value(1)] * 40 + [None] * 40
    found = sum((calls(node) for node in cluster.primaries), Counter())
    assert found["mget"] == len({slot_of(key) for key in keys})
    assert found["cluster"] == 0


def test_a_read_is_one_round_trip_to_each_shard(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    """Servers count how often they read from any client's socket; each look at the count is one reading too."""
    keys = new_keys(40)
    store.read(keys)
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for node in cluster.primaries]
        before = [client.info("stats")["total_reads_processed"] for client in clients]
        store.read(keys)
        after = [client.info("stats")["total_reads_processed"] for client in clients]
    assert [late - early for early, late in zip(before, after, strict=True)] == [2, 2, 2]


def test_scripts_are_grouped_by_slot(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    together = slot_keys(KEYS_PER_SCRIPT + 1)
    keys = [*together, *new_keys(3)]
    store.write_if_newer([(key, value(1)) for key in keys])
    groups = store.group_keys(keys)
    assert sorted(map(len, groups)) == [1, 1, 1, 1, KEYS_PER_SCRIPT]
    assert sorted(place for group in groups for place in group) == list(range(len(keys)))
    counts = store.run_script(COUNT, [([keys[place] for place in group], []) for group in groups])
    assert counts == [len(group) for group in groups]


def test_a_moved_slot_is_followed_and_remembered(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    keys = slot_keys(3)
    store.write_if_newer([(key, value(1)) for key in keys])
    source = cluster.owner(slot_of(keys[0]))
    cluster.move(slot_of(keys[0]), another(cluster, slot_of(keys[0])))
    assert store.read(keys) == [value(1)] * 3
    source.command("CONFIG", "RESETSTAT")
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 3
    assert store.read(keys) == [value(2)] * 3
    assert calls(source)["mget"] == calls(source)["evalsha"] == 0


def test_keys_of_a_slot_that_is_being_moved_are_found_at_both_ends(
    cluster: ClusterSet, store: RedisOnlineStore
) -> None:
    keys = slot_keys(6)
    store.write_if_newer([(key, value(1)) for key in keys[:5]])
    slot = slot_of(keys[0])
    target = another(cluster, slot)
    source = cluster.begin_move(slot, target)
    cluster.move_keys(slot, source, target, most=2)
    assert store.read(keys) == [value(1)] * 5 + [None]
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 6
    assert store.write_if_newer([(key, value(2)) for key in keys]).ignored == 6

    async def read_and_write() -> None:
        reader = AsyncRedisOnlineStore.connect(cluster.url)
        assert await reader.read([*keys, b"x"]) == [value(2)] * 6 + [None]
        assert (await reader.write_if_newer([(key, value(3)) for key in keys])).written == 6
        await reader.close()

    asyncio.run(read_and_write())
    cluster.end_move(slot, source, target)
    assert store.read(keys) == [value(3)] * 6
    assert store.delete(keys) == 6


def test_a_restarted_node_lacks_scripts_and_is_sent_them(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    keys = new_keys(30)
    store.run_script(COUNT, [([key], []) for key in keys])
    for node in cluster.primaries:
        node.command("SCRIPT", "FLUSH")
    assert store.run_script(COUNT, [([key], []) for key in keys]) == [0] * 30


def test_records_and_numbers_work_on_any_shard(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    for name in ("alpha", "beta", "gamma"):
        record = f"featurestore:pointer:{name}".encode()
        assert store.replace_record(record, None, b"1")
        assert not store.replace_record(record, None, b"2")
        store.put_record(record, b"3")
        assert store.read([record, b"absent"]) == [b"3", None]
    assert store.project_id("alpha") != store.project_id("beta")
    assert abs(store.time_micros() - store.time_micros()) < 10_000_000
    store.check_eviction_policy()


def test_an_evicting_node_is_named(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    node = cluster.primaries[1]
    node.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StateError, match=rf"Redis at {node.host_port} of redis\+cluster://.* allkeys-lru"):
            store.check_eviction_policy()
    finally:
        node.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_pickled_copy_and_a_forked_child_have_connections_of_their_own(
    cluster: ClusterSet, store: RedisOnlineStore
) -> None:
    keys = new_keys(30)
    store.write_if_newer([(key, value(1)) for key in keys])
    with closing(pickle.loads(pickle.dumps(store))) as copy:
        assert copy.read(keys) == [value(1)] * 30
    child = os.fork()
    if child == 0:
        os._exit(0 if store.read(keys) == [value(1)] * 30 else 1)
    assert store.read(keys) == [value(1)] * 30
    assert os.waitpid(child, 0)[1] == 0
    assert store.read([*keys, b"absent"]) == [*[value(1)] * 30, None]


def test_something_that_is_no_cluster_is_said_at_once(tmp_path: Path) -> None:
    with (
        running_node(tmp_path / "n") as node,
        closing(RedisOnlineStore.connect(f"redis+cluster://{node.host_port}")) as store,
    ):
        started = time.monotonic()
        with pytest.raises(OnlineStoreUnavailable, match="cluster support disabled; it is no cluster; use redis://"):
            store.read([b"x"])
        assert time.monotonic() - started < 1.0


def test_a_member_of_a_cluster_is_no_lone_server(cluster: ClusterSet) -> None:
    pairs = [(key, value(1)) for key in new_keys(200)]
    told = pytest.raises(OnlineStoreUnavailable, match=r"it is part of a cluster; .* starts with redis\+cluster://")
    with closing(RedisOnlineStore.connect(cluster.primaries[0].url)) as store, told:
        store.write_if_newer(pairs)
