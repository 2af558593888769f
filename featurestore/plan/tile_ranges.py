"""Tiles as ranges of time: nested sizes, anchored at the epoch, and the fewest tiles that make up a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from featurestore.intervals import Interval, to_micros

__all__ = [
    "LADDER",
    "Span",
    "TileRange",
    "Total",
    "WindowTiles",
    "begins_with_time",
    "cut",
    "decompose",
    "joined",
    "tile_sizes",
    "window_tiles",
]

Span: TypeAlias = tuple[int, int]
"""A half-open range, in microseconds since the epoch."""

_MICROSECOND = timedelta(microseconds=1)
_SIZES = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=8), timedelta(days=64))
LADDER = tuple(size // _MICROSECOND for size in _SIZES)
"""The sizes that all views share, each dividing the next."""
_FACTOR = 8
"""From one size to the next where a view's own size divides none of the ladder."""
_LEVELS = 3
_YEAR_1 = -62_135_596_800 * 1_000_000
_BEGINNING = _YEAR_1 // LADDER[-1] * LADDER[-1]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TileRange:
    """The tiles of one size in ``[start, end)``, all in microseconds; the bounds are multiples of the size."""

    size: int
    start: int
    end: int

    @property
    def span(self) -> Span:
        return self.start, self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All of a window's events at one instant, in microseconds: of ``[end - window, end)``; None: of all before."""

    window: int | None
    end: int

    @property
    def span(self) -> Span:
        return (_BEGINNING if self.window is None else self.end - self.window), self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTiles:
    """What a window consists of at the start and at the end of a step, in order of time.

    The part that both have in common has the same tiles in both: where no other tile has events, the values are equal
    to the bit.
    """

    at_start: tuple[TileRange, ...]
    at_end: tuple[TileRange, ...]


def tile_sizes(base: int) -> tuple[int, ...]:
    """Give a view's sizes, each dividing the next: its base, then those of the ladder that are multiples of it."""
    shared = [size for size in LADDER if size > base and size % base == 0]
    if not shared:
        return tuple(base * _FACTOR**level for level in range(_LEVELS))
    return (base, *shared)


def begins_with_time(tiles: TileRange) -> bool:
    """Say whether a range has no lower bound: no event is before it."""
    return tiles.start <= _YEAR_1


def decompose(span: Span, sizes: Sequence[int]) -> tuple[TileRange, ...]:
    """Give the fewest tiles that make up a span whose bounds are multiples of the first size, in order of time."""
    start, end = span
    if start >= end:
        return ()
    *finer, size = sizes
    first, last = -(-start // size) * size, end // size * size
    if first >= last:
        return decompose(span, finer)
    whole = TileRange(size=size, start=first, end=last)
    return (*decompose((start, first), finer), whole, *decompose((last, end), finer))


def window_tiles(window: timedelta | None, step: Interval, sizes: Sequence[int]) -> WindowTiles:
    """Cut a window at both ends of a step into tiles; None is the whole time before."""
    start, end = to_micros(step.start), to_micros(step.end)
    if window is None:
        beginning = _YEAR_1 // sizes[-1] * sizes[-1]
        spans = (beginning, beginning), (beginning, start), (start, end)
    elif (length := window // _MICROSECOND) >= end - start:
        spans = (start - length, end - length), (end - length, start), (start, end)
    else:
        spans = (start - length, start), (start, start), (end - length, end)
    expired, common, new = (decompose(span, sizes) for span in spans)
    return WindowTiles(at_start=(*expired, *common), at_end=(*common, *new))


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Put spans in order, those that meet or overlap as one."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return tuple(found)


def cut(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    """Give what is in the spans and in none of the holes."""
    left: list[Span] = []
    barred = joined(holes)
    for start, end in joined(spans):
        for hole_start, hole_end in barred:
            if hole_end <= start or end <= hole_start:
                continue
            if start < hole_start:
                left.append((start, hole_start))
            start = min(hole_end, end)
        if start < end:
            left.append((start, end))
    return tuple(left)
