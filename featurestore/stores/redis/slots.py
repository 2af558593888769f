"""Slots of a Redis cluster: which one a key is in, and keys grouped by them."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence

from featurestore.stores.redis.address import Node
from featurestore.stores.redis.errors import ReplyError

__all__ = ["SLOTS", "group_places", "redirection", "slot_of"]

SLOTS = 1 << 14


def slot_of(key: bytes) -> int:
    """Give the slot of a key: the CRC-16 of its hash tag, or of all of it where it has none."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) & (SLOTS - 1)


def group_places(keys: Sequence[bytes], *, limit: int, by_slot: bool) -> list[tuple[int, list[int]]]:
    """Give (slot, places in ``keys``) with at most ``limit`` keys that one command may name; all in slot 0 if not."""
    if not by_slot:
        return [(0, list(range(start, min(start + limit, len(keys))))) for start in range(0, len(keys), limit)]
    groups: dict[int, list[int]] = {}
    full: list[tuple[int, list[int]]] = []
    for place, key in enumerate(keys):
        slot = slot_of(key)
        group = groups.setdefault(slot, [])
        group.append(place)
        if len(group) == limit:
            full.append((slot, groups.pop(slot)))
    return [*full, *groups.items()]


def redirection(reply: ReplyError, asked: Node) -> tuple[int, Node]:
    """Read slot and server of a MOVED or ASK reply; a server that knows no name for the other means its own host."""
    _, slot, where = str(reply).split(" ")[:3]
    host, _, port = where.rpartition(":")
    return int(slot), Node(host=host or asked.host, port=int(port))
