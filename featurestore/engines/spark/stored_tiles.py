"""Stored tiles: what a view's steps need of them, the rows of a build, and the tiles to merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.inputs import Input
from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.rows import with_keys
from featurestore.engines.spark.schema import struct_of
from featurestore.engines.spark.tiles import (
    COUNT,
    LAST,
    VALUE,
    Inputs,
    Tiles,
    combine_tiles,
    grid_micros,
    hop_micros,
    read_events,
    tiles_of_events,
)
from featurestore.engines.spark.windows import Steps, changed_rows
from featurestore.intervals import Interval, from_micros
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import Aggregations, DeltaSourceNode, FileSourceNode, ViewNode
from featurestore.ir.tiles import BUILD, EVENTS, PART, PARTIALS, PERIOD, SIZE, TILE
from featurestore.plan.tile_coverage import Build, Stretch, choose
from featurestore.plan.tile_ranges import LADDER, TileRange, begins_with_time, joined, tile_sizes

__all__ = ["StandingTiles", "StoredTiles", "TileNeed"]

_DAY = LADDER[2]
_TILES_IN_A_PERIOD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TileNeed:
    """What the steps of a run take from a tile table.

    ``unit`` is the size that is kept of all that is read: the greatest that divides the view's grid.
    """

    columns: frozenset[str]
    ranges: tuple[TileRange, ...]
    unit: int


class StoredTiles:
    """The tiles of a view's source and keys. Nothing is read or written before frames are evaluated.

    ``open_source`` gives the pinned source; it is asked only for tiles that are not there.
    """

    def __init__(
        self, view: ViewNode, source: FileSourceNode | DeltaSourceNode, open_source: Callable[[], Input]
    ) -> None:
        assert isinstance(view.transformation, Aggregations)
        self._view = view
        self._open_source = open_source
        self._keys = tuple(sorted(key.name for key in view.join_keys))
        self._items = view.transformation.items
        self._sizes = tile_sizes(hop_micros(view))
        self.inputs = Inputs.of(self._items, struct_of(source.schema), source)

    def steps(self, steps: Sequence[Interval], *, first: bool) -> Steps:
        """Give a run's steps with the tiles that their windows consist of."""
        return Steps.of(steps, self._items, first=first, sizes=self._sizes)

    def need(self, steps: Sequence[Interval]) -> TileNeed:
        """Say which tiles the steps' windows consist of."""
        grid = grid_micros(self._view.schedule)
        unit = max(size for size in self._sizes if grid % size == 0)
        ranges = self.steps(steps, first=False).ranges
        return TileNeed(columns=self.inputs.columns(), ranges=ranges, unit=unit)

    def rows(
        self,
        builds: Iterable[Build],
        stretches: Sequence[Stretch],
        table: Callable[[], DataFrame],
        counts: PassCounts,
    ) -> DataFrame:
        """Compute the rows to append for ``builds``; finer tiles are taken from ``stretches`` of the ``table``."""
        parts: list[DataFrame] = []
        for build in builds:
            if build.finer is None:
                tiles = self._of_events(build, counts)
            else:
                finer = [TileRange(size=build.finer, start=r.start, end=r.end) for r in build.ranges]
                tiles = combine_tiles(
                    self.chosen(table(), finer, build.columns, stretches), build.columns, build.ranges
                )
            parts += _stored(tiles)
        return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)

    def chosen(
        self, table: DataFrame, ranges: Iterable[TileRange], columns: Iterable[str], stretches: Sequence[Stretch]
    ) -> Tiles:
        """Read each tile once for each column, from the build that counts."""
        counted = self.inputs.cells()
        partials: list[DataFrame] = []
        values: dict[str, DataFrame] = {}
        for names, parts in choose(tuple(ranges), columns, stretches).items():
            rows = table.where(_of_builds(parts))
            if own := sorted(names - set(counted)):
                partials.append(rows.where(F.col(PART) == PARTIALS).select(*self._quoted(), SIZE, TILE, *own))
            for name in names & set(counted):
                value = F.col(name).alias(VALUE)
                values[name] = rows.where(F.col(PART) == name).select(*self._quoted(), SIZE, TILE, value, COUNT, LAST)
        if not partials:
            partials.append(table.where(F.lit(False)).select(*self._quoted(), SIZE, TILE))
        union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), partials)
        return Tiles(partials=union, values=values, keys=self._keys, inputs=self.inputs)

    def _quoted(self) -> list[Column]:
        return [F.col(quote(key)) for key in self._keys]

    def _of_events(self, build: Build, counts: PassCounts) -> Tiles:
        source = self._open_source()
        assert source.timestamp is not None
        at = F.col(quote(source.timestamp))
        frame = source.frame.where(_within(at, build.ranges))
        events = read_events(
            with_keys(self._view, frame, counts),
            keys=self._keys,
            timestamp=source.timestamp,
            created=source.created,
            inputs=self.inputs,
        )
        return tiles_of_events(events, build.columns, build.ranges)


def _within(at: Column, ranges: Sequence[TileRange]) -> Column:
    """Say whether an instant is in one of the ranges."""
    parts: list[Column] = []
    lowest = min(tiles.start for tiles in ranges)
    is_unbounded = any(begins_with_time(tiles) for tiles in ranges)
    for start, end in joined(tiles.span for tiles in ranges):
        before = at < F.lit(from_micros(end))
        parts.append(before if is_unbounded and start == lowest else before & (at >= F.lit(from_micros(start))))
    return reduce(or_, parts)


def _of_builds(parts: Sequence[tuple[str, TileRange]]) -> Column:
    """Pick rows of builds and ranges; what folders and file statistics can tell is said by itself, to prune files."""
    folders, files, rows = [F.lit(False)], [F.lit(False)], [F.lit(False)]
    for build, tiles in parts:
        period = _period_micros(tiles.size)
        size = F.col(SIZE) == tiles.size
        folders.append(size & (F.col(PERIOD) >= tiles.start // period * period) & (F.col(PERIOD) < tiles.end))
        inside = (F.col(TILE) >= tiles.start) & (F.col(TILE) < tiles.end) & (F.col(BUILD) == build)
        files.append(inside)
        rows.append(size & inside)
    return reduce(and_, (reduce(or_, conditions) for conditions in (folders, files, rows)))


def _period_micros(size: int) -> int:
    return max(_DAY, size * _TILES_IN_A_PERIOD)


def _stored(tiles: Tiles) -> list[DataFrame]:
    """Give the rows of tiles as their table has them."""
    has_partials = set(tiles.partials.columns) - {*tiles.keys, SIZE, TILE}
    parts = [tiles.partials.withColumn(PART, F.lit(PARTIALS))] if has_partials else []
    parts += [rows.withColumnRenamed(VALUE, name).withColumn(PART, F.lit(name)) for name, rows in tiles.values.items()]
    return [_with_period(part, tiles.keys) for part in parts]


def _with_period(rows: DataFrame, keys: Sequence[str]) -> DataFrame:
    size = F.col(SIZE)
    period = F.greatest(F.lit(_DAY).cast("bigint"), size * _TILES_IN_A_PERIOD)
    tile = F.col(TILE)
    placed = (PART, SIZE, (tile - F.pmod(tile, period)).alias(PERIOD), TILE)
    own = [name for name in rows.columns if name not in (*keys, PART, SIZE, TILE)]
    return rows.select(*(F.col(quote(key)) for key in keys), *placed, *own)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingTiles:
    """What a run reads of a tile table: which builds count in the pinned ``table``, and what it took to build them."""

    work: StoredTiles
    table: DataFrame
    stretches: tuple[Stretch, ...]
    built: PassCounts

    def changed_rows(self, steps: Sequence[Interval], *, first: bool, counts: PassCounts) -> DataFrame:
        """Give the rows of the steps (``windows.changed_rows``), for keys with tiles that came in or fell out."""
        placed = self.work.steps(steps, first=first)
        columns = self.work.inputs.columns()
        tiles = self.work.chosen(self.table, placed.ranges, columns, self.stretches)
        observed = replace(tiles, partials=counts.observe(tiles.partials, tiles_read=F.count(F.lit(1))))
        news = self.work.chosen(self.table, placed.news, [EVENTS], self.stretches)
        return changed_rows(observed, placed, news=None if first else news.partials)
