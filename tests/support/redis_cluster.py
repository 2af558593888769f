"""A cluster of Redis nodes on this machine, whose slots a test can move and whose nodes it can lose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.redis_nodes import RedisNode, running_node, until

__all__ = ["ClusterSet", "running_cluster"]

SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class ClusterSet:
    """Primaries that share the slots evenly at first; ``replicas[i]`` follows ``primaries[i]``."""

    primaries: tuple[RedisNode, ...]
    replicas: tuple[RedisNode, ...] = ()

    @property
    def nodes(self) -> tuple[RedisNode, ...]:
        return self.primaries + self.replicas

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.host_port for node in self.primaries[:2])

    def owner(self, slot: int) -> RedisNode:
        """Give the node that holds a slot now."""
        for first, last, (_, port, *_), *_ in self.primaries[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"slot {slot} has no owner")

    def begin_move(self, slot: int, target: RedisNode) -> RedisNode:
        """Open a slot's move, so that its keys may be at either end; give the node it leaves."""
        source = self.owner(slot)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
        return source

    def move_keys(self, slot: int, source: RedisNode, target: RedisNode, *, most: int = 1000) -> int:
        """Move some keys of an open slot."""
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            source.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, source: RedisNode, target: RedisNode) -> None:
        """Move what is left and say who owns the slot."""
        while self.move_keys(slot, source, target):
            pass
        for node in (target, source):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", _id(target))

    def wait_for_replicas(self) -> None:
        """Wait until every replica has what its primary has now."""
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            wanted = _offset(primary, "master_repl_offset")
            until(lambda replica=replica, wanted=wanted: _offset(replica, "slave_repl_offset") >= wanted)  # type: ignore[misc]

    def move(self, slot: int, target: RedisNode) -> None:
        source = self.begin_move(slot, target)
        self.end_move(slot, source, target)


@contextmanager
def running_cluster(
    folder: Path,
    *,
    primaries: int = 3,
    has_replicas: bool = False,
    version: str = "6.2",
    settings: tuple[str, ...] = (),
) -> Iterator[ClusterSet]:
    """Run a cluster that serves all slots when this gives."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync", "yes")
        options += ("--repl-diskless-sync-delay", "0", *settings)
        nodes = [
            stack.enter_context(running_node(folder / f"n{number}", *options, version=version))
            for number in range(primaries * (2 if has_replicas else 1))
        ]
        first, *others = nodes
        for node in others:
            first.command("CLUSTER", "MEET", "127.0.0.1", node.port)
        for number, node in enumerate(nodes[:primaries]):
            share = range(SLOTS * number // primaries, SLOTS * (number + 1) // primaries)
            node.command("CLUSTER", "ADDSLOTS", *share)
        until(lambda: all(_knows(node, len(nodes)) for node in nodes))
        for primary, replica in zip(nodes[:primaries], nodes[primaries:], strict=False):
            replica.command("CLUSTER", "REPLICATE", _id(primary))
        until(lambda: all(_is_ok(node) for node in nodes))
        found = ClusterSet(tuple(nodes[:primaries]), tuple(nodes[primaries:]))
        if has_replicas:
            until(lambda: all(_follows(node) for node in found.replicas))
        yield found


def _id(node: RedisNode) -> str:
    return str(node.command("CLUSTER", "MYID"), "ascii")


def _knows(node: RedisNode, count: int) -> bool:
    return node.command("CLUSTER", "NODES").count(b"\n") == count


def _is_ok(node: RedisNode) -> bool:
    return b"cluster_state:ok" in node.command("CLUSTER", "INFO")


def _offset(node: RedisNode, name: str) -> int:
    with node.client() as client:
        return int(client.info("replication")[name])


def _follows(node: RedisNode) -> bool:
    with node.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")
