"""Stored tiles: what a view's steps need of them, the rows of a build, and the tiles to merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.aggregations import Members
from featurestore.engines.spark.inputs import Input
from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.rows import with_keys
from featurestore.engines.spark.schema import struct_of
from featurestore.engines.spark.tile_places import rows_of_builds, stored_rows
from featurestore.engines.spark.tiles import (
    COUNT,
    LAST,
    TOTAL,
    VALUE,
    Inputs,
    Tiles,
    combine_tiles,
    grid_micros,
    hop_micros,
    read_events,
    tiles_of_events,
)
from featurestore.engines.spark.value_functions import VALUE_FUNCTIONS
from featurestore.engines.spark.window_steps import Steps
from featurestore.engines.spark.windows import changed_rows
from featurestore.intervals import Interval, from_micros
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import Aggregations, DeltaSourceNode, FileSourceNode, ViewNode
from featurestore.ir.tiles import BUILD, EVENTS, PART, PARTIALS, PERIOD, SIZE, TILE, TOTALS
from featurestore.plan.tile_coverage import Build, StandingTotal, Stretch, choose
from featurestore.plan.tile_files import StoredFile
from featurestore.plan.tile_ranges import TileRange, begins_with_time, joined, tile_sizes
from featurestore.plan.tile_totals import TotalBuild, plan_totals

__all__ = ["StandingTiles", "StoredTiles", "TileNeed"]

FEW_BYTES = 16 * 1024 * 1024
"""So much of a tile table is read and merged within the second that a second scan and a join take."""
_IS_TAKEN = "__is_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileNeed:
    """What the steps of a run take from a tile table.

    ``unit`` is the size that is kept of all that is read: the greatest that divides the view's grid. ``bases`` are the
    totals that windows start from, ``totals`` those to be built so that they can.
    """

    columns: frozenset[str]
    ranges: tuple[TileRange, ...]
    unit: int
    bases: Mapping[timedelta | None, StandingTotal]
    totals: tuple[TotalBuild, ...]


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

    def steps(
        self, steps: Sequence[Interval], *, first: bool, bases: Mapping[timedelta | None, StandingTotal]
    ) -> Steps:
        """Give a run's steps with the tiles that their windows consist of."""
        ends = {window: base.total.end for window, base in bases.items()}
        return Steps.of(steps, self._items, first=first, sizes=self._sizes, bases=ends)

    def need(
        self, steps: Sequence[Interval], standing: Sequence[StandingTotal], files: Callable[[], Sequence[StoredFile]]
    ) -> TileNeed:
        """Say which tiles and totals the steps' windows consist of; ``files`` of the table are asked for totals."""
        grid = grid_micros(self._view.schedule)
        unit = max(size for size in self._sizes if grid % size == 0)
        bases: Mapping[timedelta | None, StandingTotal] = {}
        totals: tuple[TotalBuild, ...] = ()
        if len(steps) == 1 and (windows := self._exact_windows()):
            bases, totals = plan_totals(windows, steps[0], self._sizes, standing, files())
        behind = [tiles for total in totals for tiles in (*total.added, *total.taken)]
        ranges = (*self.steps(steps, first=False, bases=bases).ranges, *behind)
        return TileNeed(columns=self.inputs.columns(), ranges=ranges, unit=unit, bases=bases, totals=totals)

    def _exact_windows(self) -> Mapping[timedelta | None, frozenset[str]]:
        """Give the windows of which nothing but counts and integer sums is asked, and the columns these take."""
        columns: dict[timedelta | None, frozenset[str]] = {}
        inexact: set[timedelta | None] = set()
        for item in self._items:
            lowering = None if item.function in VALUE_FUNCTIONS else self.inputs.lowering(item)
            if lowering is None or not lowering.is_exact:
                inexact.add(item.window)
            else:
                columns[item.window] = columns.get(item.window, frozenset({EVENTS})) | frozenset(lowering.partials)
        return {window: names for window, names in columns.items() if window not in inexact}

    def rows(
        self,
        builds: Iterable[Build],
        totals: Iterable[TotalBuild],
        stretches: Sequence[Stretch],
        table: Callable[[], DataFrame],
        counts: PassCounts,
    ) -> DataFrame:
        """Compute the rows to append; finer tiles and those of totals are taken from ``stretches`` of the ``table``."""
        parts: list[DataFrame] = []
        for build in builds:
            if build.finer is None:
                tiles = self._of_events(build, counts)
            else:
                finer = [TileRange(size=build.finer, start=r.start, end=r.end) for r in build.ranges]
                tiles = combine_tiles(
                    self.chosen(table(), finer, build.columns, stretches), build.columns, build.ranges
                )
            parts += stored_rows(tiles)
        parts += [self._of_total(build, table(), stretches) for build in totals]
        return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)

    def chosen(
        self, table: DataFrame, ranges: Iterable[TileRange], columns: Iterable[str], stretches: Sequence[Stretch]
    ) -> Tiles:
        """Read each tile once for each column, from the build that counts."""
        counted = self.inputs.cells()
        partials: list[DataFrame] = []
        values: dict[str, DataFrame] = {}
        for names, parts in choose(tuple(ranges), columns, stretches).items():
            rows = table.where(rows_of_builds(parts))
            if own := sorted(names - set(counted)):
                partials.append(rows.where(F.col(PART) == PARTIALS).select(*self._quoted(), SIZE, TILE, *own))
            for name in names & set(counted):
                value = F.col(name).alias(VALUE)
                values[name] = rows.where(F.col(PART) == name).select(*self._quoted(), SIZE, TILE, value, COUNT, LAST)
        if not partials:
            partials.append(table.where(F.lit(False)).select(*self._quoted(), SIZE, TILE))
        union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), partials)
        return Tiles(partials=union, values=values, keys=self._keys, inputs=self.inputs)

    def from_totals(
        self, table: DataFrame, bases: Mapping[timedelta | None, StandingTotal], windows: Sequence[timedelta | None]
    ) -> DataFrame:
        """Read the totals that ``windows`` start from: keys, TOTAL, and the partials that the view needs."""
        wanted = self.inputs.columns()
        parts = [
            self._rows_of(base, table, sorted(base.columns & wanted)).withColumn(TOTAL, F.lit(windows.index(window)))
            for window, base in bases.items()
        ]
        return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)

    def _rows_of(self, base: StandingTotal, table: DataFrame, columns: Sequence[str]) -> DataFrame:
        place = {PART: TOTALS, SIZE: base.total.window or 0, PERIOD: base.total.end, BUILD: base.build}
        is_of = reduce(and_, (F.col(name) == F.lit(value) for name, value in place.items()))
        return table.where(is_of).select(*self._quoted(), *columns)

    def _of_total(self, build: TotalBuild, table: DataFrame, stretches: Sequence[Stretch]) -> DataFrame:
        """Add up a window's partials for each key that has events in it."""
        names = sorted(build.columns)

        def tiles(ranges: Sequence[TileRange], *, is_taken: bool) -> DataFrame:
            rows = self.chosen(table, ranges, names, stretches).partials
            return rows.select(*self._quoted(), *names, F.lit(is_taken).alias(_IS_TAKEN))

        parts = [tiles(build.added, is_taken=False), tiles(build.taken, is_taken=True)]
        if build.base is not None:
            parts.append(self._rows_of(build.base, table, names).withColumn(_IS_TAKEN, F.lit(False)))
        members = Members(inside=~F.col(_IS_TAKEN), taken=F.col(_IS_TAKEN))
        sums = [F.coalesce(members.sum(name), F.lit(0)).alias(name) for name in names]
        total = reduce(DataFrame.unionByName, parts).groupBy(*self._quoted()).agg(*sums).where(F.col(EVENTS) > 0)
        end = F.lit(build.total.end).cast("bigint")
        size = F.lit(build.total.window or 0).cast("bigint")
        places = [F.lit(TOTALS).alias(PART), size.alias(SIZE), end.alias(PERIOD), end.alias(TILE)]
        return total.select(*self._quoted(), *places, *names)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingTiles:
    """What a run reads of a tile table: which builds count in the pinned ``table``, and what it took to build them.

    ``size``: bytes of the files that have tiles of the run.
    """

    work: StoredTiles
    table: DataFrame
    stretches: tuple[Stretch, ...]
    bases: Mapping[timedelta | None, StandingTotal]
    size: int
    built: PassCounts

    def changed_rows(self, steps: Sequence[Interval], *, first: bool, counts: PassCounts) -> DataFrame:
        """Give the rows of the steps (``windows.changed_rows``).

        Windows are merged for keys with tiles that came in or fell out. Where all tiles are FEW_BYTES, they are merged
        for all keys: to find those that need it takes longer.
        """
        placed = self.work.steps(steps, first=first, bases=self.bases)
        columns = self.work.inputs.columns()
        tiles = self.work.chosen(self.table, placed.ranges, columns, self.stretches)
        partials = tiles.partials
        if self.bases:
            totals = self.work.from_totals(self.table, self.bases, placed.windows)
            partials = partials.unionByName(totals, allowMissingColumns=True)
        observed = replace(tiles, partials=counts.observe(partials, tiles_read=F.count(F.lit(1))))
        if first or self.size <= FEW_BYTES:
            return changed_rows(observed, placed)
        news = self.work.chosen(self.table, placed.news, [EVENTS], self.stretches)
        return changed_rows(observed, placed, news=news.partials)
