"""One number for the headers of a prediction's input rows: equal iff nothing it was computed from has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Header", "inputs_digest"]

Header = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of one input view, for each row: present (bool), event and created time in microseconds (int64)."""

_SEED = np.uint64(0x243F6A8885A308D3)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_ABSENT = np.uint64(0xA5A5A5A5A5A5A5A5)
_MASK = (1 << 64) - 1
_SCALAR_ROWS = 8
"""Up to this many rows Python's integers are faster than NumPy's fixed cost."""


def inputs_digest(headers: Sequence[Header]) -> np.ndarray:
    """Digest the headers of all stored input rows, in the given order of views, to one int64 for each row.

    An absent row counts as absent, whatever its times say. The mixing function is splitmix64's finalizer (Steele,
    Lea, Flood 2014), chained over the words; the numbers are part of the stored format.
    """
    rows = len(headers[0][0]) if headers else 0
    if rows <= _SCALAR_ROWS:
        return _digest_few(headers, rows)
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


def _digest_few(headers: Sequence[Header], rows: int) -> np.ndarray:
    """Compute the same numbers row by row."""
    states = [int(_SEED)] * rows
    for header in headers:
        present, event_us, created_us = (np.asarray(part).tolist() for part in header)
        for row in range(rows):
            words = (1, event_us[row], created_us[row]) if present[row] else (int(_ABSENT), 0, 0)
            for word in words:
                states[row] = _mix_one(states[row] ^ (word & _MASK))
    return np.array(states, np.uint64).view(np.int64)


def _mix_one(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
