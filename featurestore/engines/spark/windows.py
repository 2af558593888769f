"""Tiles to rows: the windows' values at both ends of each step, and the rows where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, reduce
from itertools import pairwise
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.schema import checked_cast, is_castable, order_key, spark_type
from featurestore.engines.spark.tiles import COUNT, LAST, VALUE, Tiles
from featurestore.engines.spark.value_functions import VALUE_FUNCTIONS, lower_values
from featurestore.errors import Problem, SchemaMismatch
from featurestore.intervals import Interval, to_micros
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import AggregationNode
from featurestore.ir.tiles import SIZE, TILE
from featurestore.plan.tile_ranges import Span, TileRange, WindowTiles, joined, window_tiles
from featurestore.spec.aggregation import AggregationFunction as Function
from featurestore.spec.dtypes import show_dtype

__all__ = ["Steps", "changed_rows"]

START, END = "__start", "__end"
_SERVED, _STEP = "__served", "__step"
_BEFORE, _PRESENT, _WAS_PRESENT = "__before_", "__present", "__was_present"
_MICROSECOND = timedelta(microseconds=1)
_COUNTS = (Function.COUNT, Function.COUNT_DISTINCT, Function.APPROX_COUNT_DISTINCT)
_WINDOWS_IN_A_MASK = 31


@dataclass(frozen=True, kw_only=True)  # no slots: ranges are kept
class Steps:
    """The steps of a run, in order, and the tiles that their windows consist of.

    ``first``: the first of them begins a covered stretch and states all it has. ``sizes`` are the view's tile sizes.
    """

    steps: tuple[Interval, ...]
    first: bool
    windows: tuple[timedelta | None, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls, steps: Sequence[Interval], items: Iterable[AggregationNode], *, first: bool, sizes: tuple[int, ...]
    ) -> Steps:
        windows = tuple(dict.fromkeys(item.window for item in items))
        return cls(steps=tuple(steps), first=first, windows=windows, sizes=sizes)

    @cached_property
    def ranges(self) -> tuple[TileRange, ...]:
        """All tiles that the steps need, in order."""
        return _united(tiles for part in self._window_tiles() for tiles in (*part.at_start, *part.at_end))

    @cached_property
    def news(self) -> tuple[TileRange, ...]:
        """The tiles that come into a window in a step, or fall out of one."""
        return _united(tiles for part in self._window_tiles() for tiles in {*part.at_start} ^ {*part.at_end})

    def _window_tiles(self) -> list[WindowTiles]:
        return [window_tiles(window, step, self.sizes) for step in self.steps for window in self.windows]

    def placed(self, tiles: DataFrame) -> DataFrame:
        """Repeat each tile for the steps that it is in a window of, with START, END and masks of those windows."""
        kept = [name for name in tiles.columns if name != SIZE]
        longest = self.longest()

        def may_serve(step: Column) -> Column:
            began = F.col(TILE) + F.col(SIZE) <= step[END]
            return began if longest is None else began & (F.col(TILE) >= step[START] - F.lit(longest // _MICROSECOND))

        bounds = [
            F.struct(F.lit(to_micros(step.start)).alias(START), F.lit(to_micros(step.end)).alias(END))
            for step in self.steps
        ]
        repeated = tiles.select(*kept, SIZE, F.explode(F.filter(F.array(*bounds), may_serve)).alias(_STEP))
        masks = self._masks(F.col(_STEP)[START], F.col(_STEP)[END])
        return repeated.select(
            *kept, *(F.col(_STEP)[name].alias(name) for name in (START, END)), *(m.alias(n) for n, m in masks.items())
        ).where(reduce(or_, (F.col(name) != 0 for name in masks)))

    def inside(self, window: timedelta | None, *, at_start: bool = False) -> Column:
        """Say whether a placed tile is in a window at the end of its step, or at the start."""
        number = self.windows.index(window)
        bit = 1 << (2 * (number % _WINDOWS_IN_A_MASK) + at_start)
        return F.col(f"{_SERVED}{number // _WINDOWS_IN_A_MASK}").bitwiseAND(F.lit(bit).cast("bigint")) != 0

    def is_news(self) -> Column:
        """Say whether a placed tile came into a window in its step, or fell out of one."""
        return reduce(or_, (self.inside(w) != self.inside(w, at_start=True) for w in self.windows))

    def states_all(self) -> Column:
        """Say whether the step that begins at START states each key with events, whatever it had before."""
        return (F.col(START) == to_micros(self.steps[0].start)) if self.first else F.lit(False)

    def longest(self) -> timedelta | None:
        return None if None in self.windows else max(window for window in self.windows if window is not None)

    def _masks(self, start: Column, end: Column) -> dict[str, Column]:
        """Give for each window two bits, "at the end" and "at the start", by ``plan.tile_ranges.window_tiles``."""
        masks: dict[str, Column] = {}
        for number, window in enumerate(self.windows):
            name = f"{_SERVED}{number // _WINDOWS_IN_A_MASK}"
            for at_start, is_inside in enumerate(self._ends(window, start, end)):
                bit = F.lit(1 << (2 * (number % _WINDOWS_IN_A_MASK) + at_start)).cast("bigint")
                mask = F.when(is_inside, bit).otherwise(F.lit(0).cast("bigint"))
                masks[name] = masks[name].bitwiseOR(mask) if name in masks else mask
        return masks

    def _ends(self, window: timedelta | None, start: Column, end: Column) -> tuple[Column, Column]:
        """Say whether the tile is one of the window's at the step's end, and whether at its start."""
        if window is None:
            common, new = self._is_of(None, start), self._is_of(start, end)
            return common | new, common
        length = F.lit(window // _MICROSECOND)
        common = self._is_of(end - length, start)
        new = self._is_of(F.greatest(start, end - length), end)
        expired = self._is_of(start - length, F.least(start, end - length))
        return common | new, expired | common

    def _is_of(self, start: Column | None, end: Column) -> Column:
        """Say whether the tile is one of the fewest that make up a span: it is inside, the next coarser one is not."""
        tile, size, coarser = F.col(TILE), F.col(SIZE), F.lit(None).cast("bigint")
        for finer, next_size in pairwise(self.sizes):
            coarser = F.when(size == finer, F.lit(next_size)).otherwise(coarser)
        around = tile - F.pmod(tile, coarser)
        is_inside, is_around_inside = (tile + size <= end), (around + coarser <= end)
        if start is not None:
            is_inside, is_around_inside = is_inside & (tile >= start), is_around_inside & (around >= start)
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


def changed_rows(tiles: Tiles, steps: Steps, *, news: DataFrame | None = None) -> DataFrame:
    """Give keys, event_timestamp (the step end) and features, where the values differ from the step before.

    A key appears when it has events in the longest window and had none, when a value's bits change, and once more
    when all its windows ran empty. In the first step of a stretch each key with values appears, and those that ran
    empty there do too: the row before may come later, when the hole in front is filled, and must not hold on. Values
    of no events (of a key with nothing but nulls) do not hold, so they are not stated again there.

    With ``news``, the tiles of ``steps.news``, windows are merged only for keys that have some: no other can appear.
    """
    items, keys = tiles.inputs.items, list(tiles.keys)
    group = [*keys, START, END]
    placed = steps.placed(tiles.partials)
    touched = None if news is None else steps.placed(news).where(steps.is_news()).select(*group)
    values = _window_values(placed, tiles, steps, group, touched)
    sharing: dict[str, list[AggregationNode]] = {}
    for item in (item for item in items if item.function in VALUE_FUNCTIONS):
        sharing.setdefault(tiles.inputs.counted(item), []).append(item)
    for name, own in sharing.items():
        counted = _value_windows(steps.placed(tiles.values[name]), own, steps, group, touched)
        values = values.join(counted, group, "left")
    return _rows(values, items, keys, steps)


def _rows(values: DataFrame, items: Sequence[AggregationNode], keys: Sequence[str], steps: Steps) -> DataFrame:
    features = [_feature(values, item, prefix).alias(prefix + item.name) for item in items for prefix in ("", _BEFORE)]
    values = values.select(*keys, START, END, _PRESENT, _WAS_PRESENT, *features)
    same = reduce(
        and_,
        (
            order_key(F.col(item.name), item.dtype).eqNullSafe(order_key(F.col(_BEFORE + item.name), item.dtype))
            for item in items
        ),
    )
    has_value = reduce(
        or_, (F.col(item.name) != 0 if item.function in _COUNTS else F.col(item.name).isNotNull() for item in items)
    )
    appears = F.col(_PRESENT) & (~F.col(_WAS_PRESENT) | (steps.states_all() & has_value))
    return values.where(appears | (F.col(_WAS_PRESENT) & ~same)).select(
        *keys, F.timestamp_micros(F.col(END)).alias(EVENT_TIMESTAMP), *(item.name for item in items)
    )


def _of_touched(placed: DataFrame, group: list[str], touched: DataFrame | None) -> DataFrame:
    """Bring all rows of a key and step to one task, in order of time; those of untouched keys are left out."""
    rows = placed if touched is None else placed.join(touched, group, "left_semi")
    return rows.repartition(*group).sortWithinPartitions(*group, TILE)


def _window_values(
    placed: DataFrame, tiles: Tiles, steps: Steps, group: list[str], touched: DataFrame | None
) -> DataFrame:
    merged = [
        tiles.inputs.lowering(item).merge(steps.inside(item.window, at_start=at_start)).alias(prefix + item.name)
        for item in tiles.inputs.items
        if item.function not in VALUE_FUNCTIONS
        for prefix, at_start in (("", False), (_BEFORE, True))
    ]
    longest = steps.longest()
    return (
        _of_touched(placed, group, touched)
        .groupBy(*group)
        .agg(
            F.max(steps.inside(longest)).alias(_PRESENT),
            F.max(steps.inside(longest, at_start=True)).alias(_WAS_PRESENT),
            *merged,
        )
    )


def _value_windows(
    placed: DataFrame, own: Sequence[AggregationNode], steps: Steps, group: list[str], touched: DataFrame | None
) -> DataFrame:
    """Give the functions of one input's value counts: keys, step, and two columns for each of ``own``."""
    names = {window: str(number) for number, window in enumerate(dict.fromkeys(item.window for item in own))}
    ends = [(window, n + end, bool(end)) for window, n in names.items() for end in ("", _BEFORE)]
    counted = (
        _of_touched(placed, group, touched)
        .groupBy(*group, VALUE)
        .agg(
            *(F.sum(F.when(steps.inside(w, at_start=start), F.col(COUNT))).alias(COUNT + n) for w, n, start in ends),
            *(F.max(F.when(steps.inside(w, at_start=start), F.col(LAST))).alias(LAST + n) for w, n, start in ends),
        )
    )
    return counted.groupBy(*group).agg(
        *(
            lower_values(item, F.col(VALUE), F.col(COUNT + n), F.col(LAST + n)).alias(prefix + item.name)
            for item in own
            for prefix in ("", _BEFORE)
            for n in [names[item.window] + prefix]
        )
    )


def _feature(values: DataFrame, item: AggregationNode, prefix: str) -> Column:
    name = prefix + item.name
    column, found, wanted = F.col(name), values.schema[name].dataType, spark_type(item.dtype)
    if not is_castable(found, wanted):
        message = f"{item.function} of {item.column!r} gives {found.simpleString()}, not {show_dtype(item.dtype)}"
        raise SchemaMismatch([Problem(location="aggregations", object=item.name, message=f"{message}; correct dtype=")])
    if item.function in _COUNTS:
        column = F.coalesce(column, F.lit(0))
    return checked_cast(column, found, wanted, what=f"feature {item.name!r}")
