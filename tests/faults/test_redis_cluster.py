"""Slots of a cluster move and nodes are lost, during lookups and writes."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.stores.redis.slots import slot_of
from featurestore.stores.redis.store import RedisOnlineStore
from tests.conformance.test_online_store import new_keys, value
from tests.support.redis_cluster import ClusterSet, running_cluster
from tests.support.traffic import Traffic

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSet]:
    with running_cluster(tmp_path_factory.mktemp("c"), has_replicas=True) as running:
        yield running


@pytest.fixture
def store(cluster: ClusterSet) -> Iterator[RedisOnlineStore]:
    with closing(RedisOnlineStore.connect(cluster.url, deadline=8.0)) as opened:
        yield opened


def test_slots_move_under_lookups_and_writes(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    """Ten slots, five keys in each, go round the nodes while their keys are read and written."""
    tags = new_keys(10)
    keys = [tag + b":%d" % number for tag in tags for number in range(5)]
    store.write_if_newer([(key, value(0)) for key in keys])
    versions = itertools.count(1)
    seen: list[int] = []

    def write(_: int) -> None:
        version = next(versions)
        count = store.write_if_newer([(key, value(version)) for key in keys])
        assert count.written == len(keys)
        seen.append(version)

    def read(_: int) -> list[bytes | None]:
        before = seen[-1] if seen else 0
        found = store.read(keys)
        assert None not in found
        assert min(found) >= value(before)  # type: ignore[type-var]
        return found

    with Traffic(write, threads=1) as writes, Traffic(read, threads=2) as reads:
        for number, target in enumerate((*cluster.primaries, *cluster.primaries)):
            for tag in tags[number % 2 :: 2]:
                if cluster.owner(slot_of(tag)) is not target:
                    source = cluster.begin_move(slot_of(tag), target)
                    cluster.move_keys(slot_of(tag), source, target, most=2)
                    reads.wait_for_more(1)
                    cluster.end_move(slot_of(tag), source, target)
        reads.wait_for_more()
    assert reads.errors == writes.errors == reads.unexpected == writes.unexpected == []
    assert store.read(keys) == [value(seen[-1])] * len(keys)


def test_a_lost_node_is_late_for_its_shard_and_then_replaced(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    keys = new_keys(200)
    store.write_if_newer([(key, value(1)) for key in keys])
    cluster.wait_for_replicas()
    lost = cluster.primaries[1]
    with Traffic.reads(store, keys, deadline=8.0) as patient, Traffic.reads(store, keys, deadline=0.3) as hasty:
        patient.wait_for_more()
        lost.send(signal.SIGSTOP)
        hasty.wait_for_more()
        patient.wait_for_more()
    lost.kill()
    assert patient.errors == patient.unexpected == hasty.unexpected == []
    assert {type(error) for error in hasty.errors} <= {DeadlineExceeded, OnlineStoreUnavailable}
    assert hasty.longest < 1.0  # a busy machine adds to it
    assert all(answer == [value(1)] * 200 for answer in (*patient.answers, *hasty.answers))
    assert store.write_if_newer([(key, value(2)) for key in keys]).written == 200
    assert store.read(keys) == [value(2)] * 200


def test_slots_without_a_server_are_said(cluster: ClusterSet, store: RedisOnlineStore) -> None:
    """The other shards' keys of a call are no answer by themselves."""
    keys = new_keys(200)
    for node in (cluster.primaries[2], cluster.replicas[2]):
        node.kill()
    started = time.monotonic()
    with pytest.raises(OnlineStoreUnavailable):
        store.read(keys, deadline=0.5)
    assert time.monotonic() - started < 1.2
