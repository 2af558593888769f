"""One number for the headers of a prediction's input rows: equal iff nothing it was computed from has changed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["Header", "inputs_digest", "stamps_digest"]

Header = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of one input view, for each row: present (bool), event and created time in microseconds (int64)."""

_Header = tuple["np.ndarray | None", np.ndarray, np.ndarray]
"""The same, where None says that all rows are present."""

_SEED = np.uint64(0x243F6A8885A308D3)
_STEP = np.array(0x9E3779B97F4A7C15, np.uint64)
_ABSENT = np.array(0xA5A5A5A5A5A5A5A5, np.uint64)
_PRESENT = np.array(1, np.uint64)
_NOTHING = np.array(0, np.uint64)
_ROUNDS = (
    (np.array(30, np.uint64), np.array(0xBF58476D1CE4E5B9, np.uint64)),
    (np.array(27, np.uint64), np.array(0x94D049BB133111EB, np.uint64)),
    (np.array(31, np.uint64), None),
)
_MASK = (1 << 64) - 1
_SIGN = 1 << 63
_STAMP = struct.Struct(">QQ")


def inputs_digest(headers: Sequence[_Header]) -> np.ndarray:
    """Digest the headers of all stored input rows, in the given order of views, to one int64 for each row.

    An absent row counts as absent, whatever its times say. The mixing function is splitmix64's finalizer (Steele,
    Lea, Flood 2014), chained over the words; the numbers are part of the stored format.
    """
    rows = len(headers[0][1]) if headers else 0
    state = np.full(rows, _SEED, np.uint64)
    scratch = np.empty_like(state)
    for present, event_us, created_us in headers:
        absent = None if present is None or present.all() else ~np.asarray(present, np.bool_)
        for number, times in enumerate((None, event_us, created_us)):
            words = _PRESENT if times is None else np.asarray(times, np.int64).view(np.uint64)
            if absent is not None:
                words = np.where(absent, _NOTHING if number else _ABSENT, words)
            np.bitwise_xor(state, words, state)
            _mix(state, scratch)
    return state.view(np.int64)


def _mix(words: np.ndarray, scratch: np.ndarray) -> None:
    """Mix in place: a new array for each step would take three times as long."""
    np.add(words, _STEP, words)
    for shift, factor in _ROUNDS:
        np.right_shift(words, shift, scratch)
        np.bitwise_xor(words, scratch, words)
        if factor is not None:
            np.multiply(words, factor, words)


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
