"""A call on its way: what to send where next, and what an answer or a failure means. No sockets, no waiting.

The synchronous and the asyncio store drive the same object: send each batch of ``next_round``, hand what came of it
to ``settle``, wait ``pause`` seconds, and again until there are no more batches.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.errors import DeadlineExceeded, FeatureStoreError
from featurestore.stores.redis.errors import Failure, Late, Remedy, ReplyError, ruling, translate
from featurestore.stores.redis.protocol import Command
from featurestore.stores.redis.scripts import Script
from featurestore.stores.redis.slots import redirection
from featurestore.stores.redis.topology import Role, Target, Topology

__all__ = ["Batch", "Call", "Request", "question_end"]

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.2
_SHORTEST_ATTEMPT = 0.5
_LONGEST_QUESTION = 1.0
_MOST_HOPS = 8
_ASKING: Command = ("ASKING",)


class Request:
    """One command, and its reply once there is one.

    ``target`` is set where the slot does not decide. ``detour`` is where it goes next, this once; ``asks`` says that
    the server there is still taking the slot over.
    """

    __slots__ = ("asks", "command", "detour", "hops", "needs_script", "reply", "script", "slot", "target")

    def __init__(
        self, command: Command, slot: int = 0, *, script: Script | None = None, target: Target | None = None
    ) -> None:
        self.command = command
        self.slot = slot
        self.script = script
        self.target = target
        self.detour: Target | None = None
        self.asks = False
        self.needs_script = False
        self.hops = 0
        self.reply: Any = None


@dataclass(slots=True, eq=False)
class Batch:
    """What goes to one server at once: ``commands`` are the requests' and what they need before them."""

    target: Target
    requests: list[Request]
    expires: float
    commands: list[Command]
    places: list[int]
    """Where in ``commands`` each request's own stands."""


class Call:
    """Requests that are made together, with what is left of their deadline.

    ``repeats`` says whether a request that may have been carried out may be made again: True for reads and for
    writes that are idempotent. ``keeps`` are codes of error replies that the caller wants as replies.
    """

    def __init__(
        self,
        topology: Topology,
        requests: Sequence[Request],
        *,
        address: str,
        expires: float,
        retries: int,
        reads: bool = False,
        repeats: bool = True,
        keeps: frozenset[str] = frozenset(),
    ) -> None:
        self.requests = requests
        self.expires = expires
        self.was_repeated = False
        self._topology = topology
        self._address = address
        self._retries = retries
        self._reads = reads
        self._repeats = repeats
        self._keeps = keeps
        self._open = list(requests)
        self._failure: Failure | None = None
        self._last: Failure | None = None
        self._failures = 0

    @property
    def replies(self) -> list[Any]:
        return [request.reply for request in self.requests]

    def next_round(self) -> list[Batch]:
        """Give the batches to send now, one for each server and in one order for all calls; none when all is done.

        Raises the package's error when the deadline passed.
        """
        if not self._open:
            return []
        now = time.monotonic()
        if now >= self.expires:
            raise self._too_late()
        self._failure = None
        groups: dict[Target, list[Request]] = {}
        for request in self._open:
            target = request.detour or request.target or self._topology.route(request.slot, reads=self._reads)
            if target is None:
                self.unreachable(ReplyError(f"CLUSTERDOWN slot {request.slot} has no server"))
                return []
            groups.setdefault(target, []).append(request)
        self._open = []
        has_others = self._topology.is_moving or any(target.role is Role.REPLICA for target in groups)
        expires = _attempt_end(now, self.expires) if has_others else self.expires
        return [_batch(target, groups[target], expires) for target in sorted(groups)]

    def settle(self, batch: Batch, outcome: list[Any] | Failure) -> None:
        """Take in the replies to a batch's commands, or why there are none; raise what is final."""
        if isinstance(outcome, Failure):
            outcome.server = str(batch.target.node)
            self._lost(batch, outcome)
            return
        for request, place in zip(batch.requests, batch.places, strict=True):
            reply = outcome[place]
            if type(reply) is ReplyError:
                reply.server = str(batch.target.node)
                self._refused(batch.target, request, reply)
            else:
                request.reply = reply

    def unreachable(self, failure: Failure) -> None:
        """Take in that nobody could say who serves: ask again after a pause, if that may help."""
        if _is_final(failure):
            raise self._error(failure)
        self._topology.doubt(None)
        if isinstance(failure, Late) and self._last is not None:
            failure = self._last
        self._failure = self._last = failure

    def pause(self) -> float | None:
        """Give the seconds to wait before the next round, None when all is done; waits grow from failure to failure."""
        if not self._open:
            return None
        if self._failure is None:
            return 0.0
        seconds = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 8)) * random.uniform(0.5, 1.0)
        self._failures += 1
        if time.monotonic() + seconds >= self.expires:
            raise self._error(self._failure)
        return seconds

    def _lost(self, batch: Batch, failure: Failure) -> None:
        """Decide about requests of which nobody knows whether they were carried out."""
        self._topology.doubt(batch.target)
        is_over = isinstance(failure, Late) and batch.expires >= self.expires
        if is_over or not self._repeats or _is_final(failure):
            raise self._error(failure)
        self.was_repeated = True
        for request in batch.requests:
            request.detour, request.asks = None, False
        is_counted = ruling(failure).remedy is Remedy.LOOK and batch.target.role is Role.PRIMARY
        self._again(batch.requests, failure, is_counted=is_counted)

    def _refused(self, target: Target, request: Request, reply: ReplyError) -> None:
        """Decide about an error reply: the server did not carry the request out."""
        asked = request.asks
        request.detour, request.asks = None, False
        if reply.code in self._keeps:
            request.reply = reply
            return
        request.hops += 1
        match ruling(reply).remedy:
            case (Remedy.MOVED | Remedy.ASK) as remedy if self._topology.has_slots:
                slot, node = redirection(reply, target.node)
                if remedy is Remedy.MOVED:
                    self._topology.move(slot, node)
                else:
                    request.detour, request.asks = Target(node), True
                self._again([request], reply if request.hops > _MOST_HOPS else None)
            case Remedy.LOAD if request.script is not None and request.hops <= _MOST_HOPS:
                request.needs_script = True
                request.detour, request.asks = target, asked
                self._again([request], None)
            case Remedy.WAIT:
                self._again([request], reply)
            case Remedy.LOOK:
                self._topology.doubt(target)
                self._again([request], reply, is_counted=target.role is Role.PRIMARY)
            case _:
                raise self._error(reply)

    def _again(self, requests: list[Request], failure: Failure | None, *, is_counted: bool = False) -> None:
        """Make requests again: at once where nothing failed, else after a pause; a lone server is tried a few times."""
        if failure is not None:
            if is_counted and not self._topology.is_moving and self._failures >= self._retries:
                raise self._error(failure)
            self._failure = self._last = failure
        self._open += requests

    def _too_late(self) -> FeatureStoreError:
        if self._last is not None:
            return self._error(self._last)
        return DeadlineExceeded(
            f"{self._name()} at {self._address} was not sent: the deadline had passed", address=self._address
        )

    def _error(self, failure: Failure) -> FeatureStoreError:
        return translate(failure, command=self._name(), address=self._address)

    def _name(self) -> str:
        return str(self.requests[0].command[0])


def _is_final(failure: Failure) -> bool:
    """Say whether nothing helps; another attempt may still be in time where one was late."""
    return ruling(failure).remedy is Remedy.NONE and not isinstance(failure, Late)


def question_end(expires: float) -> float:
    """Give the end of a question to one of several servers, so that another can be asked before the deadline."""
    now = time.monotonic()
    return min(_attempt_end(now, expires), now + _LONGEST_QUESTION)


def _attempt_end(now: float, expires: float) -> float:
    """Leave half of the time for another attempt, where half a second is enough for this one."""
    left = expires - now
    return now + max(left / 2, min(left, _SHORTEST_ATTEMPT))


def _batch(target: Target, requests: list[Request], expires: float) -> Batch:
    commands: list[Command] = [
        ("SCRIPT", "LOAD", script.text)
        for script in {request.script for request in requests if request.needs_script}
        if script is not None
    ]
    places: list[int] = []
    for request in requests:
        request.needs_script = False
        if request.asks:
            commands.append(_ASKING)
        places.append(len(commands))
        commands.append(request.command)
    return Batch(target=target, requests=requests, expires=expires, commands=commands, places=places)
