"""What servers say about each other, and how long it is believed; no server is asked here."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from featurestore.stores.redis import cluster, sentinel, topology
from featurestore.stores.redis.address import Node
from featurestore.stores.redis.cluster import ClusterTopology
from featurestore.stores.redis.errors import LostConnection, ReplyError
from featurestore.stores.redis.sentinel import SentinelTopology
from featurestore.stores.redis.slots import SLOTS, redirection
from featurestore.stores.redis.topology import ReplicaChoice, Role, Target

SENTINEL = Target(Node("s", 1), Role.SENTINEL)
ANOTHER = Target(Node("s", 2), Role.SENTINEL)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in (cluster, sentinel, topology):
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def replica(port: int, flags: bytes = b"slave", link: bytes = b"ok") -> dict[bytes, bytes]:
    return {b"ip": b"r", b"port": b"%d" % port, b"flags": flags, b"master-link-status": link}


def sentinels(**options: Any) -> SentinelTopology:
    return SentinelTopology([SENTINEL.node, ANOTHER.node], "main", **options)


def test_a_primary_is_believed_until_it_fails(clock: Clock) -> None:
    topology = sentinels()
    assert not topology.is_known() and topology.route(0, reads=True) is None
    topology.learn(ANOTHER, [[b"p", b"7"]])
    primary = Target(Node("p", 7))
    clock.now += 1e6
    assert topology.is_known() and topology.route(0, reads=True) == topology.route(0, reads=False) == primary
    assert topology.candidates() == (ANOTHER, SENTINEL)
    topology.doubt(Target(Node("p", 6)))
    assert topology.is_known()
    topology.doubt(primary)
    assert not topology.is_known() and topology.primaries() == (primary,)


def test_replicas_that_are_up_are_read_and_asked_for_again(clock: Clock) -> None:
    topology = sentinels(reads_replicas=True)
    down = [replica(2, b"slave,s_down"), replica(3, link=b"err"), replica(4, b"slave,disconnected")]
    topology.learn(SENTINEL, [[b"p", b"7"], [*down, replica(5)]])
    assert topology.route(0, reads=True) == Target(Node("r", 5), Role.REPLICA)
    assert topology.route(0, reads=False) == Target(Node("p", 7))
    clock.now += 31
    assert not topology.is_known()
    topology.postpone()
    assert topology.is_known()
    clock.now += 6
    assert not topology.is_known()


def test_answers_that_are_of_no_use_are_failures() -> None:
    with pytest.raises(LostConnection, match="watches no service named 'main'"):
        sentinels().learn(SENTINEL, [None])
    with pytest.raises(ReplyError, match="NOAUTH"):
        sentinels().learn(SENTINEL, [ReplyError("NOAUTH Authentication required.")])
    with pytest.raises(LostConnection, match="knows no slots"):
        ClusterTopology([Node("a", 1)]).learn(Target(Node("a", 1)), [[]])


def test_a_replica_that_failed_is_left_alone_for_a_while(clock: Clock) -> None:
    choice = ReplicaChoice()
    replicas = [Target(Node("r", port), Role.REPLICA) for port in range(3)]
    first = choice.pick(replicas)
    assert first is not None and choice.pick(replicas) == first
    choice.suspect(first)
    second = choice.pick(replicas)
    assert second in replicas and second != first
    for target in replicas:
        choice.suspect(target)
    assert choice.pick(replicas) is None
    clock.now += 11
    assert choice.pick(replicas) == first


def test_a_map_is_corrected_by_redirections_and_read_anew_after_many(clock: Clock) -> None:
    asked = Target(Node("a", 1))
    topology = ClusterTopology([asked.node])
    halves: list[Any] = [[0, 8191, [b"a", 1, b"id"]], [8192, SLOTS - 1, [b"", 2, b"id"], [b"c", 3, b"id"]]]
    topology.learn(asked, [halves])
    assert topology.route(8191, reads=True) == asked
    assert topology.route(8192, reads=True) == Target(Node("a", 2))
    assert set(topology.primaries()) == {asked, Target(Node("a", 2))}
    for slot in range(15):
        topology.move(slot, Node("b", 9))
    assert topology.is_known() and topology.route(3, reads=False) == Target(Node("b", 9))
    topology.move(15, Node("b", 9))
    assert not topology.is_known()
    topology.learn(asked, [halves])
    assert topology.is_known() and topology.route(3, reads=False) == asked


def test_who_failed_is_asked_last(clock: Clock) -> None:
    nodes = [Node("a", port) for port in range(1, 5)]
    topology = ClusterTopology(nodes[:1])
    bounds = itertools.pairwise(range(0, SLOTS + 1, SLOTS // 4))
    ranges = [[first, last - 1, [b"a", node.port, b"id"]] for (first, last), node in zip(bounds, nodes, strict=True)]
    topology.learn(Target(nodes[0]), [ranges])
    topology.doubt(Target(nodes[2]))
    assert all(topology.candidates()[-1] == Target(nodes[2]) for _ in range(20))
    assert not topology.is_known() and topology.route(0, reads=False) == Target(nodes[0])


def test_a_clusters_replicas_are_read_by_shard(clock: Clock) -> None:
    asked = Target(Node("a", 1))
    topology = ClusterTopology([asked.node], reads_replicas=True)
    topology.learn(asked, [[[0, SLOTS - 1, [b"a", 1, b"id"], [b"c", 3, b"id"]]]])
    read = topology.route(5, reads=True)
    assert read == Target(Node("c", 3), Role.REPLICA)
    topology.doubt(read)
    assert topology.is_known() and topology.route(5, reads=True) == asked


@pytest.mark.parametrize(
    ("text", "slot", "node"),
    [
        ("MOVED 3999 127.0.0.1:6381", 3999, Node("127.0.0.1", 6381)),
        ("ASK 1 ::1:7", 1, Node("::1", 7)),
        ("MOVED 2 :7002", 2, Node("asked", 7002)),
    ],
)
def test_redirections(text: str, slot: int, node: Node) -> None:
    assert redirection(ReplyError(text), Node("asked", 1)) == (slot, node)
