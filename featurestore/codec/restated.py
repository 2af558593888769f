"""Values that stand under a later stamp than their own: what a view answers with again after a later row was withdrawn.

A withdrawn row's stamp stays in the online store, so the row before it would lose against it. Codec 2 has the stamp
that wins in front, and the row's own behind the codec byte; the rest is as in codec 1.
"""

from __future__ import annotations

from featurestore.codec.stamp import STAMP_BYTES, pack_stamp

__all__ = ["RESTATED", "plain_form", "restate"]

RESTATED = 0x20
"""High half of the byte after the stamp."""
_PLAIN = 0x10
_FLAGS = 0x0F
_OWN_STAMP = slice(STAMP_BYTES + 1, 2 * STAMP_BYTES + 1)
_BODY = slice(2 * STAMP_BYTES + 1, None)


def restate(value: bytes, event_us: int, created_us: int) -> bytes:
    """Put a value of codec 1 under another stamp; its own stays inside."""
    flags = value[STAMP_BYTES] & _FLAGS
    return (
        pack_stamp(event_us, created_us) + bytes((RESTATED | flags,)) + value[:STAMP_BYTES] + value[STAMP_BYTES + 1 :]
    )


def plain_form(value: bytes) -> bytes:
    """Give the value of codec 1, with its own stamp, that a restated one holds; others are given back."""
    if len(value) <= 2 * STAMP_BYTES or value[STAMP_BYTES] & ~_FLAGS != RESTATED:
        return value
    return value[_OWN_STAMP] + bytes((_PLAIN | (value[STAMP_BYTES] & _FLAGS),)) + value[_BODY]
