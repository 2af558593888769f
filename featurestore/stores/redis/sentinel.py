"""One primary and its replicas, named by Sentinels that replace a primary that fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from featurestore.stores.redis.address import Node
from featurestore.stores.redis.errors import LostConnection, ReplyError
from featurestore.stores.redis.protocol import Command
from featurestore.stores.redis.topology import ReplicaChoice, Role, Target

__all__ = ["SentinelTopology"]

logger = logging.getLogger(__name__)

_REPLICAS_SECONDS = 30.0
_AGAIN_SECONDS = 5.0
_UNFIT = {b"s_down", b"o_down", b"disconnected"}


@dataclass(frozen=True, slots=True)
class _Known:
    primary: Target
    replicas: tuple[Target, ...]
    until: float


class SentinelTopology:
    """What the Sentinels said last. Where replicas are read their list is asked for anew every 30 seconds."""

    is_moving = True
    has_slots = False

    def __init__(self, sentinels: Sequence[Node], service: str, *, reads_replicas: bool = False) -> None:
        self._sentinels = [Target(node, Role.SENTINEL) for node in sentinels]
        self._service = service
        self._reads_replicas = reads_replicas
        self._known: _Known | None = None
        self._is_doubted = True
        self._choice = ReplicaChoice()
        self.questions: tuple[Command, ...] = (("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service),)
        if reads_replicas:
            self.questions += (("SENTINEL", "REPLICAS", service),)

    def is_known(self) -> bool:
        known = self._known
        return known is not None and not self._is_doubted and time.monotonic() < known.until

    def candidates(self) -> Sequence[Target]:
        return tuple(self._sentinels)

    def learn(self, asked: Target, replies: Sequence[Any]) -> None:
        """Take the primary and the replicas that are up; the Sentinel that knew is asked first from now on."""
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        if replies[0] is None:
            raise LostConnection(f"the Sentinel at {asked.node} watches no service named {self._service!r}")
        host, port = replies[0]
        replicas = tuple(_replicas(replies[1])) if self._reads_replicas else ()
        until = time.monotonic() + _REPLICAS_SECONDS if self._reads_replicas else float("inf")
        primary = Target(Node(host.decode(), int(port)))
        if self._known is not None and self._known.primary != primary:
            logger.warning(
                "the primary of %s is now %s, no more %s", self._service, primary.node, self._known.primary.node
            )
        self._known = _Known(primary, replicas, until)
        self._is_doubted = False
        self._sentinels = [asked, *(other for other in self._sentinels if other != asked)]

    def postpone(self) -> None:
        """Go on with the replicas that are known: lookups do not suffer from Sentinels that are away."""
        if self._known is not None:
            self._known = replace(self._known, until=time.monotonic() + _AGAIN_SECONDS)

    def doubt(self, target: Target | None) -> None:
        """Ask again who the primary is when it failed; leave a replica that failed alone for a while."""
        if target is not None and target.role is Role.REPLICA:
            self._choice.suspect(target)
        elif target is None or self._known is None or self._known.primary == target:
            self._is_doubted = True

    def move(self, slot: int, node: Node) -> None:
        """Do nothing: servers under Sentinels move no keys."""

    def route(self, slot: int, *, reads: bool) -> Target | None:
        known = self._known
        if known is None:
            return None
        return (self._choice.pick(known.replicas) if reads else None) or known.primary

    def primaries(self) -> Sequence[Target]:
        known = self._known
        return () if known is None else (known.primary,)


def _replicas(reply: Any) -> Sequence[Target]:
    """Read SENTINEL REPLICAS: a mapping for each (RESP3), or a flat list of names and values."""
    found = []
    for entry in reply:
        fields = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
        if not _UNFIT & set(fields[b"flags"].split(b",")) and fields.get(b"master-link-status", b"ok") == b"ok":
            found.append(Target(Node(fields[b"ip"].decode(), int(fields[b"port"])), Role.REPLICA))
    return sorted(found)
