"""A cluster's slots and the servers that hold them, with what redirections say between two looks."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from featurestore.stores.redis.address import Node
from featurestore.stores.redis.errors import LostConnection, ReplyError
from featurestore.stores.redis.protocol import Command
from featurestore.stores.redis.slots import SLOTS
from featurestore.stores.redis.topology import ReplicaChoice, Role, Target

__all__ = ["ClusterTopology"]

logger = logging.getLogger(__name__)

_MOVES = 16
"""So many redirections show that the map is old: it is read anew. Each names one slot only."""
_REPLICAS_SECONDS = 30.0
_AGAIN_SECONDS = 5.0


class ClusterTopology:
    """The slot map of one look at the cluster, corrected by MOVED replies.

    Any node may be asked. Who fails, or too many redirections, make it be asked for again; the old map serves until
    a new one is there. Where replicas are read it is read anew every 30 seconds.
    """

    is_moving = True
    has_slots = True
    questions: tuple[Command, ...] = (("CLUSTER", "SLOTS"),)

    def __init__(self, seeds: Sequence[Node], *, reads_replicas: bool = False) -> None:
        self._seeds = [Target(node) for node in seeds]
        self._reads_replicas = reads_replicas
        self._primaries: list[Target | None] = [None] * SLOTS
        self._replicas: dict[Target, tuple[Target, ...]] = {}
        self._known: list[Target] = []
        self._moves = 0
        self._failed: Target | None = None
        self._is_doubted = True
        self._until = 0.0
        self._choice = ReplicaChoice()

    def is_known(self) -> bool:
        return not self._is_doubted and time.monotonic() < self._until

    def candidates(self) -> Sequence[Target]:
        known = random.sample(self._known, len(self._known))
        known.sort(key=lambda target: target == self._failed)
        return [*known, *(seed for seed in self._seeds if seed not in known)]

    def learn(self, asked: Target, replies: Sequence[Any]) -> None:
        """Take the map of one node; one that knows no slots is of no use."""
        (ranges,) = replies
        if isinstance(ranges, ReplyError):
            raise ranges
        if not ranges:
            raise LostConnection(f"the node at {asked.node} knows no slots: it is in no cluster, or in an empty one")
        primaries: list[Target | None] = [None] * SLOTS
        replicas: dict[Target, tuple[Target, ...]] = {}
        for first, last, primary, *others in ranges:
            target = Target(_node(primary, asked))
            primaries[first : last + 1] = [target] * (last + 1 - first)
            replicas[target] = tuple(sorted(Target(_node(other, asked), Role.REPLICA) for other in others))
        if self._known and (gone := set(self._known) - set(replicas)):
            logger.warning(
                "no primaries of the cluster any more: %s", ", ".join(str(each.node) for each in sorted(gone))
            )
        self._primaries, self._replicas, self._known = primaries, replicas, sorted(replicas)
        self._moves = 0
        self._until = time.monotonic() + _REPLICAS_SECONDS if self._reads_replicas else float("inf")
        self._is_doubted = False

    def postpone(self) -> None:
        """Go on with the map that is known."""
        self._until = max(self._until, time.monotonic() + _AGAIN_SECONDS)

    def doubt(self, target: Target | None) -> None:
        """Read the map anew; leave a replica that failed alone for a while."""
        if target is not None and target.role is Role.REPLICA:
            self._choice.suspect(target)
        else:
            self._failed = target
            self._is_doubted = True

    def move(self, slot: int, node: Node) -> None:
        """Correct one slot."""
        self._primaries[slot] = Target(node)
        self._moves += 1
        if self._moves >= _MOVES:
            self._is_doubted = True

    def route(self, slot: int, *, reads: bool) -> Target | None:
        primary = self._primaries[slot]
        if reads and self._reads_replicas and primary is not None:
            return self._choice.pick(self._replicas.get(primary, ())) or primary
        return primary

    def primaries(self) -> Sequence[Target]:
        return tuple(self._known)


def _node(entry: Sequence[Any], asked: Target) -> Node:
    """Read host and port; a node that knows no name for itself means the one it was asked by."""
    host, port = entry[0], entry[1]
    name = host.decode() if host else ""
    return Node(asked.node.host if name in ("", "?") else name, int(port))
