"""The commands of each of the store's methods, cut by slot, number of keys and bytes; no sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from featurestore.stores.redis.call import Request
from featurestore.stores.redis.errors import ReplyError
from featurestore.stores.redis.scripts import WRITE_IF_NEWER, Script
from featurestore.stores.redis.slots import group_places, slot_of

__all__ = [
    "KEYS_PER_ROUND_TRIP",
    "KEYS_PER_SCRIPT",
    "TRY_AGAIN",
    "Group",
    "Reading",
    "Writing",
    "delete_rounds",
    "script_rounds",
    "write_rounds",
]

KEYS_PER_SCRIPT = 64
"""A script holds up all readers while it runs: 64 keys keep their p99 at 1 to 3 ms, 10,000 made it 69 ms."""
KEYS_PER_ROUND_TRIP = 2048
_BYTES_PER_ROUND_TRIP = 4 << 20

TRY_AGAIN = frozenset({"TRYAGAIN"})
"""A cluster's answer to several keys of a slot that is being moved; each key alone can be answered."""

Group = tuple[Sequence[bytes], Sequence[Any]]
"""KEYS and ARGV of one call of a script: at most 64 keys, on a cluster all of one slot."""


class Reading:
    """A read of many keys: its requests, and the values in the keys' order.

    ``suits_replicas`` says whether rows are read. Records alone are read to be changed, or to learn what the newest
    rows mean: from primaries.
    """

    def __init__(self, keys: Sequence[bytes], *, by_slot: bool) -> None:
        self._keys = keys
        self.suits_replicas = any(key.startswith(b"{") for key in keys)
        self._places: list[Sequence[int]] = [range(len(keys))]
        if not by_slot:
            self.requests = [Request(("MGET", *keys))]
            return
        groups = group_places(keys, limit=len(keys), by_slot=True)
        self._places = [places for _, places in groups]
        self.requests = [Request(("MGET", *(keys[place] for place in places)), slot) for slot, places in groups]

    def divide(self) -> list[Request]:
        """Give a request for each key of those that could not be read together; ``values`` has them then."""
        for number in range(len(self._places)):
            if type(self.requests[number].reply) is ReplyError:
                places = self._places[number]
                slot = self.requests[number].slot
                singles = [Request(("MGET", self._keys[place]), slot) for place in places]
                self._places += [[place] for place in places[1:]]
                self._places[number] = places[:1]
                self.requests[number] = singles[0]
                self.requests += singles[1:]
        return [request for request in self.requests if request.reply is None]

    def values(self) -> list[bytes | None]:
        if len(self._places) == 1:
            values: list[bytes | None] = self.requests[0].reply
            return values
        found: list[bytes | None] = [None] * len(self._keys)
        for places, request in zip(self._places, self.requests, strict=True):
            for place, value in zip(places, request.reply, strict=True):
                found[place] = value
        return found


class Writing:
    """One round of compare-and-set writes; with ``are_new`` keys are set where none of a group is there."""

    def __init__(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        expiries: Sequence[int],
        groups: Sequence[tuple[int, list[int]]],
        *,
        are_new: bool,
    ) -> None:
        self._pairs = pairs
        self._expiries = expiries
        self._groups = groups
        self._creating = [are_new and self._may_create(places) for _, places in groups]
        self.requests = [
            self._create(slot, places) if creates else self._request(slot, places)
            for creates, (slot, places) in zip(self._creating, groups, strict=True)
        ]

    def refused(self) -> list[Request]:
        """Give the script's request for each group of which some key was there; ``written`` counts them then."""
        anew: list[Request] = []
        for number, (slot, places) in enumerate(self._groups):
            if not self._creating[number]:
                continue
            reply = self.requests[number].reply
            if reply == 1:
                self.requests[number].reply = len(places)
            elif reply == 0:
                self.requests[number] = self._request(slot, places)
                anew.append(self.requests[number])
        return anew

    def divide(self) -> list[Request]:
        """Give a request for each pair of those that could not be written together; ``written`` counts them then."""
        done: list[Request] = []
        singles: list[Request] = []
        for request, (slot, places) in zip(self.requests, self._groups, strict=True):
            if type(request.reply) is ReplyError:
                singles += [self._request(slot, [place]) for place in places]
            else:
                done.append(request)
        self.requests = done + singles
        return singles

    def written(self) -> int:
        return sum(request.reply for request in self.requests)

    def _may_create(self, places: Sequence[int]) -> bool:
        """MSETNX sets no expiry, and of a key that comes twice whichever value is the last."""
        if self._expiries and any(self._expiries[place] for place in places):
            return False
        return len({self._pairs[place][0] for place in places}) == len(places)

    def _create(self, slot: int, places: Sequence[int]) -> Request:
        return Request(("MSETNX", *(part for place in places for part in self._pairs[place])), slot)

    def _request(self, slot: int, places: Sequence[int]) -> Request:
        keys = [self._pairs[place][0] for place in places]
        values: list[Any] = [self._pairs[place][1] for place in places]
        expiries = [self._expiries[place] for place in places] if self._expiries else []
        return _script_request(WRITE_IF_NEWER, (keys, values + (expiries if any(expiries) else [])), slot)


def write_rounds(
    pairs: Sequence[tuple[bytes, bytes]],
    expire_at_ms: Sequence[int] | None,
    *,
    by_slot: bool,
    are_new: bool = False,
) -> Iterator[Writing]:
    """Cut pairs into scripts of few keys, and those into round trips bounded by keys and bytes."""
    if expire_at_ms is not None and len(expire_at_ms) != len(pairs):
        raise ValueError(
            f"expire_at_ms has {len(expire_at_ms)} times for {len(pairs)} pairs; give one for each, 0 for none"
        )
    expiries = [] if expire_at_ms is None else list(map(int, expire_at_ms))
    groups = group_places([key for key, _ in pairs], limit=KEYS_PER_SCRIPT, by_slot=by_slot)
    sizes = [sum(len(pairs[place][1]) for place in places) for _, places in groups]
    for first, last in _rounds([len(places) for _, places in groups], sizes):
        yield Writing(pairs, expiries, groups[first:last], are_new=are_new)


def script_rounds(script: Script, groups: Sequence[Group]) -> Iterator[list[Request]]:
    """Give the calls of a script, in round trips bounded by keys and bytes."""
    too_many = next((len(keys) for keys, _ in groups if len(keys) > KEYS_PER_SCRIPT), 0)
    if too_many:
        raise ValueError(f"a script is called with at most {KEYS_PER_SCRIPT} keys; found {too_many}: make more groups")
    sizes = [sum(len(part) for part in arguments if isinstance(part, bytes | str)) for _, arguments in groups]
    for first, last in _rounds([len(keys) for keys, _ in groups], sizes):
        yield [_script_request(script, group, slot_of(group[0][0]) if group[0] else 0) for group in groups[first:last]]


def delete_rounds(keys: Sequence[bytes], *, by_slot: bool) -> Iterator[list[Request]]:
    """Give the deletions of keys, in round trips bounded by keys."""
    groups = group_places(keys, limit=KEYS_PER_SCRIPT, by_slot=by_slot)
    for first, last in _rounds([len(places) for _, places in groups], [0] * len(groups)):
        yield [Request(("UNLINK", *(keys[place] for place in places)), slot) for slot, places in groups[first:last]]


def _script_request(script: Script, group: Group, slot: int) -> Request:
    keys, arguments = group
    return Request(("EVALSHA", script.sha, len(keys), *keys, *arguments), slot, script=script)


def _rounds(counts: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give ranges of groups that go in one round trip: as many as fit, at least one."""
    first = keys = size = 0
    for number, (count, added) in enumerate(zip(counts, sizes, strict=True)):
        if number > first and (keys + count > KEYS_PER_ROUND_TRIP or size + added > _BYTES_PER_ROUND_TRIP):
            yield first, number
            first, keys, size = number, 0, 0
        keys += count
        size += added
    if first < len(counts):
        yield first, len(counts)
