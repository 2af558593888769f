"""Which server holds which keys, learnt from what servers say; nothing here opens a connection."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from featurestore.stores.redis.address import Access, Node, RedisAddress
from featurestore.stores.redis.protocol import Command, greeting

__all__ = ["ReplicaChoice", "Role", "SingleServer", "Target", "Topology", "opening"]

_SUSPECT_SECONDS = 10.0


class Role(StrEnum):
    """What a server is asked for: a replica answers reads only, a Sentinel who the primary is."""

    PRIMARY = "primary"
    REPLICA = "replica"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A server in a role."""

    node: Node
    role: Role = Role.PRIMARY


class Topology(Protocol):
    """The state of one store's servers; threads may share it, and what it says may be outdated at any time."""

    is_moving: bool
    """Whether servers change: then a lost one is looked for until the deadline, and an attempt ends before it."""
    has_slots: bool
    """Whether keys are spread over servers by slot."""
    questions: tuple[Command, ...]
    """What ``candidates`` are asked; none where there is nothing to learn."""

    def is_known(self) -> bool:
        """Whether what ``route`` says can be trusted; if not, ask the candidates first."""
        ...

    def candidates(self) -> Sequence[Target]:
        """Give the servers to ask, the best first."""
        ...

    def learn(self, asked: Target, replies: Sequence[Any]) -> None:
        """Take in a candidate's replies; a Failure if they are of no use."""
        ...

    def postpone(self) -> None:
        """Note that no candidate could be asked: what is known serves for some more seconds, unless it is doubted."""
        ...

    def doubt(self, target: Target | None) -> None:
        """Note that a server failed or is not what it was; None: that what is known is not enough."""
        ...

    def move(self, slot: int, node: Node) -> None:
        """Note what a MOVED reply said."""
        ...

    def route(self, slot: int, *, reads: bool) -> Target | None:
        """Give the server for a slot's keys; None where none is known."""
        ...

    def primaries(self) -> Sequence[Target]:
        """Give every server that takes writes, as far as known."""
        ...


class ReplicaChoice:
    """Picks replicas for reads: this process's share of them, and none that failed a moment ago.

    A process keeps to one replica as long as it answers: what it has read is not followed by something older.
    """

    def __init__(self) -> None:
        self._share = random.random()
        self._suspects: dict[Target, float] = {}

    def pick(self, replicas: Sequence[Target]) -> Target | None:
        if self._suspects:
            now = time.monotonic()
            replicas = [target for target in replicas if self._suspects.get(target, 0.0) <= now]
        return replicas[int(self._share * len(replicas))] if replicas else None

    def suspect(self, target: Target) -> None:
        """Leave a replica alone for some seconds."""
        self._suspects[target] = time.monotonic() + _SUSPECT_SECONDS


class SingleServer:
    """One server for all keys, with read replicas that the settings name."""

    is_moving = False
    has_slots = False
    questions: tuple[Command, ...] = ()

    def __init__(self, primary: Node, replicas: Iterable[Node] = ()) -> None:
        self._primary = Target(primary)
        self._replicas = [Target(node, Role.REPLICA) for node in replicas]
        self._choice = ReplicaChoice()

    def is_known(self) -> bool:
        return True

    def candidates(self) -> Sequence[Target]:
        return ()

    def learn(self, asked: Target, replies: Sequence[Any]) -> None:
        """Do nothing: the settings say all."""

    def postpone(self) -> None:
        """Do nothing: nobody is asked."""

    def doubt(self, target: Target | None) -> None:
        """Leave a replica alone for a while; there is no other primary."""
        if target is not None and target.role is Role.REPLICA:
            self._choice.suspect(target)

    def move(self, slot: int, node: Node) -> None:
        """Do nothing: a server that is no member of a cluster moves no keys."""

    def route(self, slot: int, *, reads: bool) -> Target | None:
        if reads and self._replicas:
            return self._choice.pick(self._replicas) or self._primary
        return self._primary

    def primaries(self) -> Sequence[Target]:
        return (self._primary,)


def opening(address: RedisAddress, target: Target, *, topology: Topology) -> tuple[Access, list[Command]]:
    """Give the log-in to a server in its role, and what a connection to it says first.

    A primary that a Sentinel named must say itself that it is one: it may have come back and not know better yet.
    """
    if target.role is Role.SENTINEL:
        access = address.sentinel_access()
        return access, greeting(access)
    access = address.access()
    return access, greeting(
        access,
        is_cluster_replica=topology.has_slots and target.role is Role.REPLICA,
        must_be_primary=topology.is_moving and not topology.has_slots and target.role is Role.PRIMARY,
    )
