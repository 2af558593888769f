"""The order of two values of one key: event time, then created time, then a digest of the bytes.

Redis judges it by the same rule (``stores.redis.scripts``), byte by byte, so no locale and no float is involved.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

__all__ = ["STAMP_BYTES", "Stamp", "is_newer", "pack_stamp", "stamp_of", "stamps_of", "unstamp", "unstamp_one"]

STAMP_BYTES = 16
"""Every value starts with its stamp, whatever its codec: event and created, each big-endian offset binary."""

_STAMP = struct.Struct(">QQ")
_OFFSET = 1 << 63
_OFFSET_WORD = np.array(_OFFSET, np.uint64)

Stamp = tuple[int, int, str]
"""Event and created in microseconds since the epoch, and the digest that breaks ties."""


def pack_stamp(event_us: int, created_us: int) -> bytes:
    """Write 16 bytes that compare as (event, created) does, negative times included."""
    return _STAMP.pack(event_us + _OFFSET, created_us + _OFFSET)


def stamp_of(blob: bytes) -> Stamp:
    """Read the stamp of a stored value; two values with equal stamps are equal bytes."""
    event, created = _STAMP.unpack_from(blob)
    return (event - _OFFSET, created - _OFFSET, hashlib.sha1(blob, usedforsecurity=False).hexdigest())


def is_newer(new: bytes, old: bytes | None) -> bool:
    """Say whether ``new`` replaces ``old``; equal bytes never do. The digest is computed only for a tie."""
    if old is None:
        return True
    new_time, old_time = new[:STAMP_BYTES], old[:STAMP_BYTES]
    if new_time != old_time:
        return new_time > old_time
    return new != old and stamp_of(new) > stamp_of(old)


def stamps_of(times_us: np.ndarray) -> np.ndarray:
    """Turn int64 microseconds into the order-preserving unsigned form, big-endian."""
    return (times_us.astype(np.int64, copy=False).view(np.uint64) ^ np.uint64(_OFFSET)).astype(">u8")


def unstamp(packed: np.ndarray) -> np.ndarray:
    """Turn the packed form back into int64 microseconds."""
    words = packed.astype(np.uint64)
    np.bitwise_xor(words, _OFFSET_WORD, words)
    return words.view(np.int64)


def unstamp_one(packed: int) -> int:
    """Turn one number of the packed form back into microseconds."""
    return packed - _OFFSET
