"""On-demand features that were written: which stored rows still say what the function would give now.

A stored row is *computed*: its digest is that of the input rows it was computed from, and it holds while those stand.
Or it is a *statement*: it was written with inputs or outputs of its own, has no digest, and holds until one of the
stored inputs is newer. Both rules look at nothing but rows of the same read: no order of writes brings a wrong value.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from featurestore.codec.digest import inputs_digest, stamps_digest
from featurestore.ir.columns import INPUTS_DIGEST
from featurestore.serving.rows import ViewRows

__all__ = ["InputRows", "Times", "WrittenRows", "is_not_older", "later_of"]

Times: TypeAlias = "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]"
"""Event and created time of each row, in microseconds."""

_NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class InputRows:
    """The rows that an on-demand view reads, one read for each of ``storage_ids``. Rows past their age are absent."""

    reads: Sequence[ViewRows]
    storage_ids: tuple[int, ...]
    count: int

    def digest(self) -> np.ndarray[Any, Any]:
        """Give one int64 for each row, equal iff the same values of the same view versions are read.

        That is the digest of their stamps with a CRC-32 over the values, for those that share a stamp. The numbers are
        part of the stored format.
        """
        digest: np.ndarray[Any, Any] = self._stamps_digest() ^ self._checksums()
        return digest

    def latest(self) -> Times:
        """Give the greatest (event time, created time) of each row's inputs; the least int64 for none."""
        none = np.full(self.count, _NO_TIME, np.int64)
        latest = none, none
        for rows in self.reads:
            found = (np.where(rows.present, times, none) for times in (rows.decoded.event_us, rows.decoded.created_us))
            event, created = found
            latest = later_of(latest, (event, created))
        return latest

    def _stamps_digest(self) -> np.ndarray[Any, Any]:
        common = [rows.decoded.common_stamp for rows in self.reads if _is_whole(rows)]
        if len(common) == len(self.reads) and None not in common:
            return np.full(self.count, stamps_digest(tuple(common)), np.int64)
        return inputs_digest([(rows.usable(), rows.decoded.event_us, rows.decoded.created_us) for rows in self.reads])

    def _checksums(self) -> np.ndarray[Any, Any]:
        seed = zlib.crc32(repr(self.storage_ids).encode())
        sums = [seed] * self.count
        for rows in self.reads:
            decoded = rows.decoded
            if _is_whole(rows):
                sums = list(map(zlib.crc32, decoded.kept, sums))
                continue
            values = decoded.spread(decoded.kept)
            for row in np.flatnonzero(rows.usable()).tolist():
                sums[row] = zlib.crc32(values[row], sums[row])
        return np.array(sums, np.int64)


def later_of(left: Times, right: Times) -> Times:
    """Give the later of two (event time, created time) row by row."""
    takes_right = ~is_not_older(left, right)
    return np.where(takes_right, right[0], left[0]), np.where(takes_right, right[1], left[1])


def is_not_older(times: Times, than: Times) -> np.ndarray[Any, Any]:
    """Say for each row whether its (event time, created time) is that of the other, or later."""
    later: np.ndarray[Any, Any] = (times[0] > than[0]) | ((times[0] == than[0]) & (times[1] >= than[1]))
    return later


class WrittenRows:
    """The stored rows of an on-demand view, judged by its ``inputs``."""

    __slots__ = ("_inputs", "holds", "rows", "states")

    def __init__(self, rows: ViewRows, inputs: InputRows) -> None:
        self.rows = rows
        self._inputs = inputs
        self.states = np.zeros(inputs.count, np.bool_)
        """Marks statements."""
        self.holds = np.zeros(inputs.count, np.bool_)
        """Marks rows whose values are what the function would give, or statements that stand."""
        if rows.decoded.kept:
            self._judge()

    def _judge(self) -> None:
        stored = self.rows.decoded.columns[INPUTS_DIGEST]
        present = self.rows.present
        self.states = present & ~stored.valid
        if stored.valid.any():
            self.holds = stored.valid & (stored.values == self._inputs.digest())
        if self.states.any():
            decoded = self.rows.decoded
            times = decoded.event_us, decoded.created_us
            self.holds |= self.states & is_not_older(times, self._inputs.latest())


def _is_whole(rows: ViewRows) -> bool:
    """Say whether every row is there and its values are given out."""
    return rows.decoded.places is None and rows.withheld is None
