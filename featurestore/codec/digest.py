"""One number for the headers of a prediction's input rows: equal iff nothing it was computed from has changed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["Header", "inputs_digest", "stamps_digest"]

Header = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of one input view, for each row: present (bool), event and created time in microseconds (int64)."""

_SEED = np.uint64(0x243F6A8885A308D3)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_ABSENT = np.uint64(0xA5A5A5A5A5A5A5A5)
_MASK = (1 << 64) - 1
_SIGN = 1 << 63
_STAMP = struct.Struct(">QQ")


def inputs_digest(headers: Sequence[Header]) -> np.ndarray:
    """Digest the headers of all stored input rows, in the given order of views, to one int64 for each row.

    An absent row counts as absent, whatever its times say. The mixing function is splitmix64's finalizer (Steele,
    Lea, Flood 2014), chained over the words; the numbers are part of the stored format.
    """
    rows = len(headers[0][0]) if headers else 0
    state = np.full(rows, _SEED, np.uint64)
    for present, event_us, created_us in headers:
        is_present = np.asarray(present, np.bool_)
        state = _mix(state ^ np.where(is_present, np.uint64(1), _ABSENT))
        for times in (event_us, created_us):
            words = np.asarray(times, np.int64).view(np.uint64)
            state = _mix(state ^ np.where(is_present, words, np.uint64(0)))
    return state.view(np.int64)


def _mix(words: np.ndarray) -> np.ndarray:
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


@lru_cache(maxsize=1 << 14)
def stamps_digest(stamps: tuple[bytes | None, ...]) -> int:
    """Give the same number for one row, from the stamps of its input rows as they are stored; None is an absent row.

    Cached: the rows of one publication share few stamps.
    """
    state = int(_SEED)
    for stamp in stamps:
        if stamp is None:
            words = (int(_ABSENT), 0, 0)
        else:
            event, created = _STAMP.unpack(stamp)
            words = (1, event ^ _SIGN, created ^ _SIGN)
        for word in words:
            state = _mix_one(state ^ word)
    return state - (1 << 64) if state & _SIGN else state


def _mix_one(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
