"""Which rows of a tile table are deleted: those that no reader asks for again, and none of anybody else's."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from featurestore.ir.tiles import PARTIALS, TOTALS
from featurestore.plan.tile_coverage import Layer, TileCommit, replay, replay_totals
from featurestore.plan.tile_files import StoredFile
from featurestore.plan.tile_ranges import Span, TileRange, Total
from featurestore.plan.tile_upkeep import TileRows, obsolete_tiles

Row = tuple[str, str, int, int]
"""Build, part, size, start."""


def tiles(start: int, end: int, size: int = 1) -> TileRange:
    return TileRange(size=size, start=start, end=end)


def commit(version: int, *ranges: TileRange, changed: tuple[Span, ...] | None = (), seen: int = -2) -> TileCommit:
    layer = Layer(columns=frozenset("a"), ranges=ranges)
    seen = version - 1 if seen == -2 else seen
    return TileCommit(build=f"b{version:02}", seen=seen, pin={}, changed=changed, layers=(layer,), version=version)


def written_by(one: TileCommit) -> list[Row]:
    """Give a row for each part and tile of a build."""
    totals = [(one.build, TOTALS, total.window or 0, total.end) for layer in one.layers for total in layer.totals]
    return totals + [
        (one.build, part, tiles.size, start)
        for layer in one.layers
        for tiles in layer.ranges
        for part in (PARTIALS, *layer.columns)
        for start in range(tiles.start, tiles.end, tiles.size)
    ]


def files_of(rows: Iterable[Row]) -> list[StoredFile]:
    """One file for each build, part and size."""
    found: dict[tuple[str, str, int], list[int]] = {}
    for build, part, size, start in rows:
        found.setdefault((build, part, size), []).append(start)
    return [
        StoredFile(
            part=part,
            tiles=tiles(min(starts), max(starts) + (1 if part == TOTALS else size), size),
            builds=(build, build),
            rows=len(starts),
        )
        for (build, part, size), starts in found.items()
    ]


def is_named(row: Row, named: Iterable[TileRows]) -> bool:
    build, part, size, start = row
    return any(
        one.build == build and part in one.parts and one.tiles.size == size and one.tiles.start <= start < one.tiles.end
        for one in named
    )


def counts(row: Row, commits: Iterable[TileCommit]) -> bool:
    build, part, size, start = row
    if part == TOTALS:
        kept = replay_totals(commits)
        return any((one.build, one.total.window or 0, one.total.end) == (build, size, start) for one in kept)
    return any(
        stretch.build == build and stretch.tiles.size == size and stretch.tiles.start <= start < stretch.tiles.end
        for stretch in replay(commits)
    )


@pytest.mark.parametrize("seed", range(40))
def test_whenever_a_table_is_cleared_it_has_exactly_the_rows_that_count(seed: int) -> None:
    """Builders commit what they planned some versions ago; clearings come in between, and no row is missed later."""
    chance = random.Random(seed)
    commits: list[TileCommit] = []
    present: set[Row] = set()
    cleared, removed = -1, 0
    for version in range(1, 41):
        if chance.random() < 0.3 or version == 40:
            gone = obsolete_tiles(commits, files_of(sorted(present)), cleared=cleared)
            doomed = {row for row in present if is_named(row, gone.rows)}
            assert doomed == {row for row in present if not counts(row, commits)}
            assert (gone.total, gone.count) == (len(present), len(doomed))
            present -= doomed
            removed += len(doomed)
            cleared = version - 1
        else:
            commits.append(random_commit(chance, version))
            present.update(written_by(commits[-1]))
            assert present >= {row for one in commits for row in written_by(one) if counts(row, commits)}
    assert removed > 0


def random_commit(chance: random.Random, version: int) -> TileCommit:
    size, at = chance.choice([1, 2, 4]), chance.randrange(24)
    start = chance.randrange(6) * size
    changed = chance.choice([(), (), ((at, at + chance.randrange(1, 4)),), None]) if version % 8 else None
    built = tiles(start, start + size * chance.randrange(1, 4), size)
    one = commit(version, built, changed=changed, seen=version - chance.randrange(1, 4))
    layer = Layer(columns=frozenset("b"), ranges=(), totals=(Total(window=chance.choice([None, 4]), end=version // 2),))
    return one if chance.random() < 0.2 else replace(one, layers=(*one.layers, layer))


def test_rows_of_a_build_that_the_log_does_not_name_never_counted() -> None:
    built = commit(1, tiles(0, 4))
    files = [*files_of(written_by(built)), *files_of([("stray", PARTIALS, 1, start) for start in range(4)])]
    gone = obsolete_tiles([built], files, cleared=-1)
    assert gone.rows == (TileRows(build="stray", parts=frozenset({PARTIALS}), tiles=tiles(0, 4)),)
    assert (gone.total, gone.count, gone.whole_files) == (12, 4, 1)


def test_what_a_merged_file_has_is_estimated_from_its_builds_and_range() -> None:
    first, second = commit(1, tiles(0, 8)), commit(2, tiles(0, 2), changed=((0, 2),))
    merged = StoredFile(part=PARTIALS, tiles=tiles(0, 8), builds=("b01", "b02"), rows=100)
    gone = obsolete_tiles([first, second], [merged], cleared=-1)
    assert (gone.count, gone.files, gone.whole_files) == (20, 1, 0)
    assert obsolete_tiles([first, second], [merged], cleared=2).count == 0, "cleared since: all of it counts"


def test_a_file_without_statistics_is_left_to_the_others() -> None:
    lost = commit(2, tiles(0, 4), changed=None)
    unknown = StoredFile(part=PARTIALS, tiles=None, builds=("", ""), rows=7)
    gone = obsolete_tiles([commit(1, tiles(0, 4)), lost], [unknown], cleared=-1)
    assert (gone.total, gone.count, len(gone.rows)) == (7, 0, 1)


def test_of_a_windows_totals_those_that_newer_ones_made_superfluous_go() -> None:
    layers = [(Layer(columns=frozenset("a"), ranges=(), totals=(Total(window=8, end=end),)),) for end in range(10)]
    commits = [replace(commit(number), layers=layer) for number, layer in enumerate(layers, 1)]
    gone = obsolete_tiles(commits, files_of(row for one in commits for row in written_by(one)), cleared=-1)
    assert [(row.build, row.tiles.start) for row in gone.rows] == [("b01", 0), ("b02", 1)]
    assert (gone.total, gone.count, gone.whole_files) == (10, 2, 2)
    assert {part for row in gone.rows for part in row.parts} == {TOTALS}


def test_parts_of_one_build_are_told_apart() -> None:
    """Rows are named with the parts that the build wrote: another kind of row of the same tiles is none of them."""
    one = commit(1, tiles(0, 4))
    layer = replace(one.layers[0], columns=frozenset("ab"))
    gone = obsolete_tiles([replace(one, layers=(layer,)), commit(2, tiles(0, 1), changed=None)], [], cleared=-1)
    assert [row.parts for row in gone.rows] == [frozenset({PARTIALS, "a", "b"})]
