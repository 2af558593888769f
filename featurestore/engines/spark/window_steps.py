"""The steps of a run, and which tiles are in which window at both ends of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, reduce
from itertools import pairwise
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.aggregations import Members
from featurestore.engines.spark.tiles import TOTAL
from featurestore.intervals import Interval, to_micros
from featurestore.ir.nodes import AggregationNode
from featurestore.ir.tiles import EVENTS, SIZE, TILE
from featurestore.plan.tile_ranges import Span, TileRange, WindowTiles, joined, window_tiles
from featurestore.plan.tile_totals import TotalTiles, total_tiles

__all__ = ["END", "START", "Steps"]

START, END = "__start", "__end"
_SERVED, _STEP = "__served", "__step"
_AROUND, _AROUND_END = "__around", "__around_end"
_BITS = 4
_AT_END, _AT_START, _TAKEN_AT_END, _TAKEN_AT_START = range(_BITS)
_WINDOWS_IN_A_MASK = 15
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)  # no slots: ranges are kept
class Steps:
    """The steps of a run, in order, and the tiles that their windows consist of.

    ``first``: the first of them begins a covered stretch and states all it has. ``sizes`` are the view's tile sizes.
    ``bases``, of a run of one step: the instants, in microseconds, of the totals that windows start from.
    """

    steps: tuple[Interval, ...]
    first: bool
    windows: tuple[timedelta | None, ...]
    sizes: tuple[int, ...]
    bases: Mapping[timedelta | None, int]

    @classmethod
    def of(
        cls,
        steps: Sequence[Interval],
        items: Iterable[AggregationNode],
        *,
        first: bool,
        sizes: tuple[int, ...],
        bases: Mapping[timedelta | None, int] | None = None,
    ) -> Steps:
        windows = tuple(dict.fromkeys(item.window for item in items))
        return cls(steps=tuple(steps), first=first, windows=windows, sizes=sizes, bases=bases or {})

    @cached_property
    def ranges(self) -> tuple[TileRange, ...]:
        """All tiles that the steps need, in order."""
        tiles = [tiles for part in self._window_tiles() for tiles in (*part.at_start, *part.at_end)]
        beside = [t for part in self._total_tiles() for t in (*part.added, *part.taken, *part.new, *part.expired)]
        return _united([*tiles, *beside])

    @cached_property
    def news(self) -> tuple[TileRange, ...]:
        """The tiles that come into a window in a step, or fall out of one."""
        tiles = [tiles for part in self._window_tiles() for tiles in {*part.at_start} ^ {*part.at_end}]
        return _united([*tiles, *(t for part in self._total_tiles() for t in (*part.new, *part.expired))])

    def _window_tiles(self) -> list[WindowTiles]:
        merged = [window for window in self.windows if window not in self.bases]
        return [window_tiles(window, step, self.sizes) for step in self.steps for window in merged]

    def _total_tiles(self) -> list[TotalTiles]:
        return [total_tiles(window, self.steps[0], base, self.sizes) for window, base in self.bases.items()]

    def placed(self, tiles: DataFrame) -> DataFrame:
        """Repeat each tile for the steps that it is in a window of, with START, END and masks of those windows."""
        kept = [name for name in tiles.columns if name not in (SIZE, TOTAL)]
        if TOTAL not in tiles.columns:
            tiles = tiles.withColumn(TOTAL, F.lit(None).cast("int"))
        repeated = self._repeated(tiles.select(*kept, SIZE, TOTAL, *self._around()))
        masks = self._masks(F.col(START), F.col(END))
        placed = repeated.select(*kept, START, END, *(mask.alias(name) for name, mask in masks.items()))
        if len(self.steps) == 1:
            return placed  # whatever was read is in a window
        return placed.where(reduce(or_, (F.col(name) != 0 for name in masks)))

    def _around(self) -> tuple[Column, Column]:
        """Give start and end of the next coarser tile around a tile; null where there is none."""
        tile, size, coarser = F.col(TILE), F.col(SIZE), F.lit(None).cast("bigint")
        for finer, next_size in pairwise(self.sizes):
            coarser = F.when(size == finer, F.lit(next_size)).otherwise(coarser)
        around = tile - F.pmod(tile, coarser)
        return around.alias(_AROUND), (around + coarser).alias(_AROUND_END)

    def _repeated(self, tiles: DataFrame) -> DataFrame:
        """Give each tile START and END of each step that it may be of use to."""
        bounds = [
            F.struct(F.lit(to_micros(step.start)).alias(START), F.lit(to_micros(step.end)).alias(END))
            for step in self.steps
        ]
        longest = self.longest()
        start = to_micros(self.steps[0].start)
        oldest_base = min([start, *self.bases.values()])

        def may_serve(step: Column) -> Column:
            serves = F.col(TILE) + F.col(SIZE) <= step[END]
            if longest is not None:
                lookback = longest // _MICROSECOND + start - oldest_base
                serves &= F.col(TILE) >= step[START] - F.lit(lookback)
            return F.col(TOTAL).isNotNull() | serves

        repeated = tiles.select("*", F.explode(F.filter(F.array(*bounds), may_serve)).alias(_STEP))
        return repeated.select(*tiles.columns, f"{_STEP}.{START}", f"{_STEP}.{END}")

    def members(self, window: timedelta | None, *, at_start: bool = False) -> Members:
        """Say which placed tiles make up a window at the end of its step, or at the start."""
        inside = self._has(window, _AT_START if at_start else _AT_END)
        if window not in self.bases:
            return Members(inside=inside)
        return Members(inside=inside, taken=self._has(window, _TAKEN_AT_START if at_start else _TAKEN_AT_END))

    def has_events(self, window: timedelta | None, *, at_start: bool = False) -> Column:
        """Say, of a group of placed tiles, whether a window has events at the end of its step, or at the start."""
        members = self.members(window, at_start=at_start)
        return F.max(members.inside) if members.taken is None else F.coalesce(members.sum(EVENTS), F.lit(0)) > 0

    def _has(self, window: timedelta | None, bit: int) -> Column:
        number = self.windows.index(window)
        place = F.lit(1 << (_BITS * (number % _WINDOWS_IN_A_MASK) + bit)).cast("bigint")
        return F.col(f"{_SERVED}{number // _WINDOWS_IN_A_MASK}").bitwiseAND(place) != 0

    def is_news(self) -> Column:
        """Say whether a placed tile came into a window in its step, or fell out of one."""
        ends = [(self.members(window), self.members(window, at_start=True)) for window in self.windows]
        moved = [now.inside != before.inside for now, before in ends]
        fallen = [n.taken != b.taken for n, b in ends if n.taken is not None and b.taken is not None]
        return reduce(or_, [*moved, *fallen])

    def states_all(self) -> Column:
        """Say whether the step that begins at START states each key with events, whatever it had before."""
        return (F.col(START) == to_micros(self.steps[0].start)) if self.first else F.lit(False)

    def longest(self) -> timedelta | None:
        return None if None in self.windows else max(window for window in self.windows if window is not None)

    def _masks(self, start: Column, end: Column) -> dict[str, Column]:
        """Give for each window the bits of ``_has``, by ``window_tiles`` and ``total_tiles`` of ``plan``."""
        masks: dict[str, Column] = {}
        for number, window in enumerate(self.windows):
            name = f"{_SERVED}{number // _WINDOWS_IN_A_MASK}"
            ends = self._beside_total(window) if window in self.bases else self._ends(window, start, end)
            for bit, is_member in ends.items():
                place = F.lit(1 << (_BITS * (number % _WINDOWS_IN_A_MASK) + bit)).cast("bigint")
                mask = F.when(is_member, place).otherwise(F.lit(0).cast("bigint"))
                masks[name] = masks[name].bitwiseOR(mask) if name in masks else mask
        return masks

    def _ends(self, window: timedelta | None, start: Column, end: Column) -> dict[int, Column]:
        """Say whether the tile is one of the window's at the step's end, and whether at its start."""
        if window is None:
            common, new = self._is_of(None, start), self._is_of(start, end)
            return {_AT_END: common | new, _AT_START: common}
        length = F.lit(window // _MICROSECOND)
        common = self._is_of(end - length, start)
        new = self._is_of(F.greatest(start, end - length), end)
        expired = self._is_of(start - length, F.least(start, end - length))
        return {_AT_END: common | new, _AT_START: expired | common}

    def _beside_total(self, window: timedelta | None) -> dict[int, Column]:
        """Say whether the tile came since the window's total, or the row is that total; and whether it fell out."""
        (step,) = self.steps
        base, start, end = (F.lit(at) for at in (self.bases[window], to_micros(step.start), to_micros(step.end)))
        stands = F.col(TOTAL).eqNullSafe(self.windows.index(window))
        held = stands | F.coalesce(self._is_of(base, start), F.lit(False))
        ends = {_AT_END: held | F.coalesce(self._is_of(start, end), F.lit(False)), _AT_START: held}
        if window is not None:
            length = F.lit(window // _MICROSECOND)
            fallen = self._is_of(base - length, start - length)
            ends |= {_TAKEN_AT_END: fallen | self._is_of(start - length, end - length), _TAKEN_AT_START: fallen}
        return ends

    def _is_of(self, start: Column | None, end: Column) -> Column:
        """Say whether the tile is one of the fewest that make up a span: it is inside, the next coarser one is not.

        Null for a total.
        """
        is_inside, is_around_inside = F.col(TILE) + F.col(SIZE) <= end, F.col(_AROUND_END) <= end
        if start is not None:
            is_inside, is_around_inside = (
                is_inside & (F.col(TILE) >= start),
                is_around_inside & (F.col(_AROUND) >= start),
            )
        return is_inside & ~F.coalesce(is_around_inside, F.lit(False))


def _united(ranges: Iterable[TileRange]) -> tuple[TileRange, ...]:
    """Put ranges of one size that meet or overlap as one."""
    spans: dict[int, list[Span]] = {}
    for tiles in ranges:
        spans.setdefault(tiles.size, []).append(tiles.span)
    return tuple(
        TileRange(size=size, start=start, end=end)
        for size, found in sorted(spans.items())
        for start, end in joined(found)
    )
