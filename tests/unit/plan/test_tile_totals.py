"""Which totals stand, which of them a window starts from, and when a new one is worth its writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.intervals import Interval, to_micros
from featurestore.ir.tiles import PARTIALS, TOTALS
from featurestore.plan.tile_coverage import Layer, StandingTotal, TileCommit, replay_totals
from featurestore.plan.tile_files import StoredFile, bytes_with, rows_in
from featurestore.plan.tile_ranges import LADDER, TileRange, Total, tile_sizes
from featurestore.plan.tile_totals import TotalBuild, plan_totals, total_tiles

HOUR, DAY, EIGHT = LADDER[1:4]
SIZES = tile_sizes(DAY)
START = datetime(2026, 1, 11, tzinfo=UTC)
TODAY = to_micros(START)
STEP = Interval(START, START + timedelta(days=1))
MONTH = timedelta(days=30)


def total(days_ago: int, window: int | None = 30, **overrides: Any) -> StandingTotal:
    values: dict[str, Any] = {"build": "b", "columns": frozenset("ab"), "pin": {}, "version": 1}
    size = None if window is None else window * DAY
    return StandingTotal(**(values | {"total": Total(window=size, end=TODAY - days_ago * DAY)} | overrides))


def commit(version: int, *totals: Total, columns: str = "a", **overrides: Any) -> TileCommit:
    values: dict[str, Any] = {
        "build": f"b{version}",
        "seen": version - 1,
        "pin": {"version": version},
        "changed": (),
        "layers": (Layer(columns=frozenset(columns), ranges=(), totals=totals),),
        "version": version,
    }
    return TileCommit(**(values | overrides))


def file_of(size: int, first: int, last: int, rows: int, *, part: str = PARTIALS) -> StoredFile:
    end = last + (1 if part == TOTALS else size)
    tiles = TileRange(size=size, start=first, end=end)
    return StoredFile(part=part, tiles=tiles, builds=("b", "b"), rows=rows, size_bytes=rows)


def day_files(rows: int, *, own: int, days_ago: int) -> list[StoredFile]:
    """A file for each day around today, and one of a total."""
    days = [TODAY + number * DAY for number in range(-40, 2)]
    files = [file_of(DAY, day, day, rows) for day in days]
    end = TODAY - days_ago * DAY
    return [*files, file_of(30 * DAY, end, end, own, part=TOTALS)]


def instants(ranges: Iterable[TileRange]) -> Counter[int]:
    """Count how often each day is in tiles."""
    return Counter(at for tiles in ranges for at in range(tiles.start, tiles.end, DAY))


@given(ago=st.integers(0, 29), window=st.integers(8, 90), hour=st.booleans())
def test_a_base_and_its_tiles_are_the_window_at_both_ends(ago: int, window: int, hour: bool) -> None:
    sizes = tile_sizes(HOUR) if hour else SIZES
    base = TODAY - min(ago, window - 1) * DAY
    tiles = total_tiles(timedelta(days=window), STEP, base, sizes)
    found = Counter(range(base - window * DAY, base, DAY))
    found += instants(tiles.added)
    found.subtract(instants(tiles.taken))
    assert +found == Counter(range(TODAY - window * DAY, TODAY, DAY))
    found += instants(tiles.new)
    found.subtract(instants(tiles.expired))
    assert +found == Counter(range(TODAY + DAY - window * DAY, TODAY + DAY, DAY))
    assert min(found.values()) >= 0


def test_of_a_lifetime_nothing_falls_out() -> None:
    tiles = total_tiles(None, STEP, TODAY - 3 * DAY, SIZES)
    assert instants(tiles.added) == Counter(range(TODAY - 3 * DAY, TODAY, DAY))
    assert (tiles.taken, tiles.expired) == ((), ())


def planned(
    standing: Sequence[StandingTotal], files: Sequence[StoredFile], window: timedelta | None = MONTH, columns: str = "a"
) -> tuple[Mapping[timedelta | None, StandingTotal], tuple[TotalBuild, ...]]:
    return plan_totals({window: frozenset(columns)}, STEP, SIZES, standing, files)


def test_a_total_does_until_what_has_come_and_gone_is_more() -> None:
    kept = total(2)
    assert planned([kept], day_files(5, own=20, days_ago=2)) == ({MONTH: kept}, ())
    bases, (build,) = planned([kept], day_files(6, own=20, days_ago=2))
    assert bases == {}
    assert (build.base, build.total, build.columns) == (kept, total(0).total, frozenset("a"))
    assert instants(build.added) == Counter([TODAY - 2 * DAY, TODAY - DAY])
    assert instants(build.taken) == Counter([TODAY - 32 * DAY, TODAY - 31 * DAY])


def test_where_a_windows_tiles_are_fewer_a_total_is_made_of_them() -> None:
    emptied = [file for file in day_files(6, own=200, days_ago=1) if file.part == TOTALS]
    fallen = file_of(DAY, TODAY - 31 * DAY, TODAY - 31 * DAY, 300)
    _, (build,) = planned([total(1)], [*emptied, fallen])
    assert build.base is None
    assert instants(build.added) == Counter(range(TODAY - 30 * DAY, TODAY, DAY))
    assert build.taken == ()


@pytest.mark.parametrize(
    ("standing", "columns"),
    [
        pytest.param([], "a", id="none"),
        pytest.param([total(1)], "abc", id="other columns"),
        pytest.param([total(1, window=31)], "a", id="another window"),
        pytest.param([total(1, window=None)], "a", id="lifetime"),
        pytest.param([total(-1)], "a", id="later than the step"),
        pytest.param([total(30)], "a", id="nothing in common"),
        pytest.param([total(0, total=Total(window=30 * DAY, end=TODAY - HOUR))], "a", id="off the view's grid"),
    ],
)
def test_a_total_that_does_not_lead_to_the_step_is_none(standing: Sequence[StandingTotal], columns: str) -> None:
    bases, (build,) = planned(standing, day_files(1, own=1000, days_ago=1), columns=columns)
    assert (bases, build.base, build.columns) == ({}, None, frozenset(columns))
    assert instants(build.added) == Counter(range(TODAY - 30 * DAY, TODAY, DAY))


def test_the_newest_total_in_time_is_taken() -> None:
    bases, _ = planned([total(3), total(1), total(2)], day_files(1, own=1000, days_ago=1))
    assert bases == {MONTH: total(1)}
    lifetime = total(400, window=None)
    assert planned([lifetime], [], window=None)[0] == {None: lifetime}


def test_a_short_window_has_no_total() -> None:
    for days, number in ((7, 0), (8, 1)):
        window = timedelta(days=days)
        bases, builds = planned([], [], window=window)
        assert (bases, len(builds)) == ({}, number)


def test_rows_are_estimated_by_bounds_of_files() -> None:
    files = [
        file_of(DAY, 0, 9 * DAY, 100),
        file_of(DAY, 0, 0, 7, part=TOTALS),
        file_of(EIGHT, 0, 0, 8),
    ]
    days = [TileRange(size=DAY, start=-3 * DAY, end=2 * DAY), TileRange(size=DAY, start=9 * DAY, end=12 * DAY)]
    assert rows_in(days, files) == 20 + 10
    assert rows_in([TileRange(size=EIGHT, start=0, end=EIGHT)], files) == 8
    assert rows_in([TileRange(size=EIGHT, start=EIGHT, end=2 * EIGHT)], files) == 20, "of days there"


def test_bytes_are_those_of_files_that_may_have_something() -> None:
    files = [
        file_of(DAY, 0, 9 * DAY, 1),
        file_of(EIGHT, 0, 0, 10),
        file_of(30 * DAY, 5 * DAY, 5 * DAY, 100, part=TOTALS),
        file_of(0, 5 * DAY, 5 * DAY, 1000, part=TOTALS),
        replace(file_of(DAY, 0, 0, 10_000), tiles=None),
    ]
    last_day = TileRange(size=DAY, start=9 * DAY, end=10 * DAY)
    assert bytes_with([last_day], [], files) == 10_001
    assert bytes_with([TileRange(size=DAY, start=10 * DAY, end=11 * DAY)], [], files) == 10_000
    assert bytes_with([last_day, TileRange(size=EIGHT, start=0, end=EIGHT)], [], files) == 10_011
    assert bytes_with([], [Total(window=30 * DAY, end=5 * DAY)], files) == 10_100
    assert bytes_with([], [Total(window=None, end=5 * DAY), Total(window=30 * DAY, end=6 * DAY)], files) == 11_000


FIRST, SECOND = Total(window=10 * DAY, end=20 * DAY), Total(window=None, end=20 * DAY)


def test_totals_stand_until_a_time_of_theirs_changes() -> None:
    made = commit(1, FIRST, SECOND)
    unseen = commit(3, FIRST, seen=1)
    for changed, left in (
        ((), [1, 1]),
        (((5 * DAY, 10 * DAY),), [FIRST]),
        (((10 * DAY - 1, 10 * DAY + 1),), []),
        (((20 * DAY, 30 * DAY),), [1, 1]),
        (None, []),
    ):
        held = replay_totals([made, commit(2, changed=changed)])
        assert len(held) == len(left)
        assert all(kept.pin == {"version": 2} for kept in held)
        beside = replay_totals([made, commit(2, changed=None, seen=0), unseen])
        assert {(kept.build, kept.total) for kept in beside} >= {("b1", FIRST), ("b3", FIRST)}


def test_of_a_window_the_last_few_totals_stand() -> None:
    commits = [commit(n, Total(window=10 * DAY, end=(20 + n) * DAY), columns="ab"[n % 2]) for n in range(40)]
    held = replay_totals(commits)
    assert [kept.version for kept in held] == list(range(39, 23, -1))
    undone = commit(40, changed=((58 * DAY, 59 * DAY),))
    assert [kept.version for kept in replay_totals([*commits, undone])] == list(range(38, 23, -1)), "none comes back"
