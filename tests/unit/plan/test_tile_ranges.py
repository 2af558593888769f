"""Windows as tiles: they cover exactly the window, in order, with few tiles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.intervals import EPOCH, Interval, to_micros
from featurestore.plan.tile_ranges import (
    LADDER,
    TileRange,
    begins_with_time,
    cut,
    decompose,
    joined,
    tile_sizes,
    window_tiles,
)

HOUR, DAY = LADDER[1], LADDER[2]
END = datetime(2026, 3, 1, tzinfo=UTC)
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5)


def members(spans: object) -> set[int]:
    return {number for start, end in spans for number in range(start, end)}  # type: ignore[attr-defined]


@given(SPANS, SPANS)
def test_spans_are_sets_of_instants(spans: list[tuple[int, int]], holes: list[tuple[int, int]]) -> None:
    assert members(joined(spans)) == members(spans)
    assert members(cut(spans, holes)) == members(spans) - members(holes)
    whole = joined(spans)
    assert all(before[1] < after[0] for before, after in pairwise(whole))


@pytest.mark.parametrize("base", [1, 60_000_000, LADDER[0], 2 * LADDER[0], 6 * HOUR, DAY, 3 * DAY, 100 * DAY])
def test_each_size_divides_the_next(base: int) -> None:
    sizes = tile_sizes(base)
    assert sizes[0] == base and len(sizes) > 1
    assert all(after % before == 0 for before, after in pairwise(sizes))


@given(st.integers(-5_000, 5_000), st.integers(0, 20_000))
def test_a_span_is_cut_into_tiles_without_gaps(start: int, length: int) -> None:
    span = start * HOUR, (start + length) * HOUR
    tiles = decompose(span, tile_sizes(HOUR))
    bounds = [span[0], *(part.end for part in tiles)]
    assert [part.start for part in tiles] == bounds[: len(tiles)]
    assert bounds[-1] == span[1]
    assert all(part.start % part.size == part.end % part.size == 0 for part in tiles)


@pytest.mark.parametrize(("days", "most"), [(1, 2), (7, 9), (30, 19), (365, 35), (3_650, 90)])
def test_tiles_grow_with_the_logarithm_of_the_window(days: int, most: int) -> None:
    """Of a daily step; whatever the day."""
    sizes = tile_sizes(DAY)
    for number in range(64):
        step = Interval(END + timedelta(days=number), END + timedelta(days=number + 1))
        found = window_tiles(timedelta(days=days), step, sizes)
        tiles = {*found.at_start, *found.at_end}
        assert sum((part.end - part.start) // part.size for part in tiles) <= most


@pytest.mark.parametrize("window", [timedelta(hours=1), timedelta(days=1), timedelta(days=7), None])
def test_both_ends_of_a_step_share_the_tiles_of_what_they_have_in_common(window: timedelta | None) -> None:
    start, end = END, END + timedelta(days=1)
    found = window_tiles(window, Interval(start, end), tile_sizes(HOUR))
    for at, tiles in ((start, found.at_start), (end, found.at_end)):
        if window is None:
            assert begins_with_time(tiles[0])
        else:
            assert tiles[0].start == to_micros(at - window)
        assert tiles[-1].end == to_micros(at)
        assert all(before.end == after.start for before, after in pairwise(tiles))
    apart = {*found.at_start} ^ {*found.at_end}
    oldest = to_micros(start) if window is None else to_micros(start - window)
    assert all(oldest <= part.start and part.end <= to_micros(end) for part in apart)
    assert sum(part.end - part.start for part in apart) <= 2 * DAY


def test_the_epoch_is_a_bound_of_all_sizes() -> None:
    before = Interval(EPOCH - timedelta(days=1), EPOCH)
    (tiles,) = window_tiles(timedelta(days=1), before, tile_sizes(DAY)).at_end
    assert tiles == TileRange(size=DAY, start=-DAY, end=0)
