"""Which server holds which keys, learnt from what servers say; nothing here opens a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from featurestore.stores.redis_address import Kind, Node, RedisAddress
from featurestore.stores.redis_protocol import Command

__all__ = ["SingleServer", "Target", "Topology", "make_topology"]


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A server in a role: a replica answers reads only, and in a cluster after it was told to."""

    node: Node
    is_replica: bool = False


class Topology(Protocol):
    """The state of one store's servers; threads may share it, and what it says may be outdated at any time."""

    is_moving: bool
    """Whether servers change: then a lost one is looked for until the deadline, and an attempt ends before it."""
    has_slots: bool
    """Whether keys are spread over servers by slot."""
    questions: tuple[Command, ...]
    """What ``candidates`` are asked; none where there is nothing to learn."""

    def is_known(self) -> bool:
        """Whether ``route`` can be trusted; if not, ask the candidates first."""
        ...

    def candidates(self) -> Sequence[Node]:
        """Give the servers to ask, the best first."""
        ...

    def learn(self, asked: Node, replies: Sequence[Any]) -> None:
        """Take in a candidate's replies; LostConnection if they are of no use."""
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
        """Give every server that takes writes."""
        ...


class SingleServer:
    """One server for all keys, with read replicas named by the settings."""

    is_moving = False
    has_slots = False
    questions: tuple[Command, ...] = ()

    def __init__(self, node: Node) -> None:
        self._primary = Target(node)

    def is_known(self) -> bool:
        return True

    def candidates(self) -> Sequence[Node]:
        return ()

    def learn(self, asked: Node, replies: Sequence[Any]) -> None:
        """Do nothing: the settings say all."""

    def doubt(self, target: Target | None) -> None:
        """Do nothing: there is no other."""

    def move(self, slot: int, node: Node) -> None:
        """Do nothing: a server that is no member of a cluster moves no keys."""

    def route(self, slot: int, *, reads: bool) -> Target | None:
        return self._primary

    def primaries(self) -> Sequence[Target]:
        return (self._primary,)


def make_topology(address: RedisAddress) -> Topology:
    """Give the topology that an address means, knowing nothing yet."""
    match address.kind:
        case Kind.SERVER:
            return SingleServer(address.nodes[0])
        case Kind.SENTINEL | Kind.CLUSTER:
            raise NotImplementedError
