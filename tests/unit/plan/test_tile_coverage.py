"""What a tile table's log says: which tiles are there, which count, and which are to be built."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from featurestore.intervals import Interval
from featurestore.plan.tile_coverage import Build, Layer, Stretch, TileCommit, choose, replay, standing, to_build
from featurestore.plan.tile_ranges import LADDER, Span, TileRange, tile_sizes, window_tiles

HOUR, DAY, EIGHT = LADDER[1:4]
HOURS = tuple(timedelta(hours=hours) for hours in (1, 24, 168, 720))
START = datetime(2026, 1, 1, tzinfo=UTC)


def days(start: int, end: int, size: int = DAY) -> TileRange:
    return TileRange(size=size, start=start * DAY, end=end * DAY)


def commit(version: int, *layers: tuple[str, TileRange], **overrides: Any) -> TileCommit:
    values: dict[str, Any] = {
        "build": f"b{version}",
        "seen": version - 1,
        "pin": {"version": 1},
        "changed": (),
        "layers": tuple(Layer(columns=frozenset(columns), ranges=(tiles,)) for columns, tiles in layers),
        "version": version,
    }
    return TileCommit(**(values | overrides))


def spans(stretches: Iterable[Stretch], column: str = "a", size: int = DAY) -> list[tuple[float, float]]:
    return [(start / DAY, end / DAY) for start, end in standing(stretches, column, size)]


def test_columns_and_ranges_add_up() -> None:
    held = replay([commit(1, ("ab", days(0, 4))), commit(2, ("a", days(4, 5))), commit(3, ("c", days(0, 5)))])
    assert {column: spans(held, column) for column in "abcd"} == {
        "a": [(0, 5)],
        "b": [(0, 4)],
        "c": [(0, 5)],
        "d": [],
    }


def test_what_changed_is_gone_by_whole_tiles() -> None:
    held = replay(
        [
            commit(1, ("a", days(0, 8)), ("a", days(0, 8, EIGHT))),
            commit(2, ("a", days(8, 9)), changed=((2 * DAY + HOUR, 2 * DAY + HOUR + 1),), pin={"version": 2}),
        ]
    )
    assert spans(held) == [(0, 2), (3, 9)]
    assert spans(held, size=EIGHT) == []
    assert [stretch.pin for stretch in held] == [{"version": 2}] * 3


def test_a_commit_says_nothing_about_what_it_did_not_see() -> None:
    beside = commit(3, ("a", days(2, 3)), seen=1, pin={"version": 2}, changed=None)
    held = replay([commit(1, ("a", days(0, 1))), commit(2, ("a", days(1, 2))), beside])
    assert [(stretch.build, stretch.pin["version"]) for stretch in held] == [("b3", 2), ("b2", 1)]


def test_each_tile_is_read_from_one_build_the_newest() -> None:
    held = replay([commit(1, ("ab", days(0, 3))), commit(2, ("a", days(1, 2)), seen=0)])
    assert choose([days(0, 4)], "ab", held) == {
        frozenset("a"): (("b1", days(0, 1)), ("b1", days(2, 3)), ("b2", days(1, 2))),
        frozenset("b"): (("b1", days(0, 3)),),
    }


def test_a_new_column_is_built_alone_and_a_longer_window_from_what_is_there() -> None:
    held = replay([commit(1, ("a", days(0, 8)))])
    needed = [days(0, 8, EIGHT), days(8, 9)]
    assert to_build(needed, "a", held, unit=DAY) == (
        (Build(columns=frozenset("a"), ranges=(days(8, 9),), finer=None),),
        (Build(columns=frozenset("a"), ranges=(days(0, 8, EIGHT),), finer=DAY),),
    )
    first, then = to_build(needed, "ab", held, unit=DAY)
    assert {(*sorted(build.columns), build.ranges) for build in first} == {("a", (days(8, 9),)), ("b", (days(0, 9),))}
    assert then == (Build(columns=frozenset("ab"), ranges=(days(0, 8, EIGHT),), finer=DAY),)


def test_tiles_of_a_view_with_longer_steps_are_made_of_anothers() -> None:
    hourly = TileRange(size=HOUR, start=0, end=3 * DAY)
    held = replay([commit(1, ("a", hourly))])
    assert to_build([days(0, 4)], "a", held, unit=DAY) == (
        (
            Build(columns=frozenset("a"), ranges=(days(3, 4),), finer=None),
            Build(columns=frozenset("a"), ranges=(days(0, 3),), finer=HOUR),
        ),
        (),
    )


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_runs_has_all_tiles_after_two_builds_and_reads_each_once(seed: int) -> None:
    """Daily steps of random windows in random order, now and then beside another and after changes of the source."""
    order = random.Random(seed)
    commits: list[TileCommit] = []
    for _ in range(25):
        start = START + timedelta(days=order.randrange(12))
        step = Interval(start, start + timedelta(days=1))
        windows = [window_tiles(order.choice(HOURS), step, tile_sizes(HOUR)) for _ in range(2)]
        needed = [tiles for window in windows for tiles in (*window.at_start, *window.at_end)]
        changed = _changed(order, start)
        for attempt in range(3):
            told = replace(commit(len(commits) + 1), changed=changed if not attempt else ())
            held = replay([*commits, told])
            first, then = to_build(needed, "ab", held, unit=DAY)
            if not (first or then):
                break
            layers = tuple(Layer(columns=b.columns, ranges=b.ranges) for b in first or then)
            for build in first or then:
                have = [tiles for tiles in build.ranges if build.finer is not None]
                assert all(_covers(held, build.columns, replace(tiles, size=build.finer or 0)) for tiles in have)
            commits.append(replace(told, layers=layers))
        else:
            raise AssertionError("two builds are enough")
        for names, parts in choose(needed, "ab", held).items():
            assert names == frozenset("ab")
            assert _instants(tiles for _, tiles in parts) == _instants(needed)
            assert sum((t.end - t.start) // t.size for _, t in parts) == len(_instants(needed))


def _changed(order: random.Random, start: datetime) -> tuple[Span, ...]:
    if order.random() < 0.7:
        return ()
    at = int((start - timedelta(days=order.randrange(20))).timestamp()) * 1_000_000
    return ((at, at + 1),)


def _covers(held: Sequence[Stretch], columns: Iterable[str], tiles: TileRange) -> bool:
    return all(
        any(start <= tiles.start and tiles.end <= end for start, end in standing(held, column, tiles.size))
        for column in columns
    )


def _instants(ranges: Iterable[TileRange]) -> Mapping[tuple[int, int], None]:
    return {(tiles.size, at): None for tiles in ranges for at in range(tiles.start, tiles.end, tiles.size)}
