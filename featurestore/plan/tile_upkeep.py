"""Which rows of a tile table count no more, and whether deleting them is worth a job: from the table's log alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from featurestore.ir.tiles import PARTIALS, TOTALS
from featurestore.plan.tile_coverage import TileCommit, replay, replay_totals
from featurestore.plan.tile_files import StoredFile
from featurestore.plan.tile_ranges import Span, TileRange, cut, joined

__all__ = ["ObsoleteTiles", "TileRows", "counting_rows", "obsolete_tiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRows:
    """The rows that a build wrote to ``parts`` (values of ``PART``), of the tiles in a range.

    Of a window's total the "tile" is its end, a microsecond long; its size is the window's length, 0 for a lifetime.
    """

    build: str
    parts: frozenset[str]
    tiles: TileRange


@dataclass(frozen=True, slots=True, kw_only=True)
class ObsoleteTiles:
    """Rows to delete, and what they are in the table's ``files``: of ``total`` about ``count``.

    ``whole_files`` have nothing else: deleting their rows writes none again. The count is exact where each file's rows
    are of one build, and else supposes that a build has as many rows in each tile.
    """

    rows: tuple[TileRows, ...] = ()
    total: int = 0
    count: int = 0
    files: int = 0
    whole_files: int = 0


def counting_rows(commits: Sequence[TileCommit]) -> tuple[TileRows, ...]:
    """Say which rows count after these commits: no reader of that state, whatever its pin, asks for others.

    A layer's partial aggregates and the values that it counts share builds and ranges.
    """
    tiles = (
        TileRows(build=stretch.build, parts=frozenset({PARTIALS, *stretch.columns}), tiles=stretch.tiles)
        for stretch in replay(commits)
    )
    totals = (
        TileRows(
            build=kept.build,
            parts=frozenset({TOTALS}),
            tiles=TileRange(size=kept.total.window or 0, start=kept.total.end, end=kept.total.end + 1),
        )
        for kept in replay_totals(commits)
    )
    return (*tiles, *totals)


def obsolete_tiles(commits: Sequence[TileCommit], files: Iterable[StoredFile], *, cleared: int) -> ObsoleteTiles:
    """Find what counted when the table was last cleared (as of version ``cleared``), or came since, and counts no more.

    Rows of builds that the log does not name never counted. What is named here is named for good: a replay only takes
    away from what it has, so no later commit makes these rows count again, also not one of a builder that planned
    before. Rows that are committed after this was asked are not among them.
    """
    before = [commit for commit in commits if commit.version <= cleared]
    since = [commit for commit in commits if commit.version > cleared]
    written = [*counting_rows(before), *(rows for commit in since for rows in counting_rows([commit]))]
    counting = counting_rows(commits)
    known = {commit.build for commit in commits}
    strays, shares = [], []
    index = _Index.of(written), _Index.of(counting)
    for file in files:
        if file.tiles is not None and file.builds[0] == file.builds[1] and file.builds[0] not in known:
            strays.append(TileRows(build=file.builds[0], parts=frozenset({file.part}), tiles=file.tiles))
            shares.append((file.rows, 1.0))
        else:
            shares.append((file.rows, _share(file, *index)))
    return ObsoleteTiles(
        rows=(*_difference(written, counting), *strays),
        total=sum(rows for rows, _ in shares),
        count=round(sum(rows * share for rows, share in shares)),
        files=sum(share > 0 for _, share in shares),
        whole_files=sum(share == 1 for _, share in shares),
    )


_Key: TypeAlias = tuple[str, int]
"""Part and size."""


@dataclass(frozen=True, slots=True)
class _Index:
    """Spans of rows by part and size, then by build: those of one build and part do not overlap."""

    spans: Mapping[_Key, Mapping[str, tuple[Span, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[TileRows]) -> _Index:
        found: defaultdict[_Key, defaultdict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
        for one in rows:
            for part in one.parts:
                found[part, one.tiles.size][one.build].append(one.tiles.span)
        return cls(
            {key: {build: joined(spans) for build, spans in builds.items()} for key, builds in found.items()},
        )

    def length(self, file: StoredFile) -> int:
        """Give how many microseconds of tiles, or how many totals, a file's builds have inside its range."""
        assert file.tiles is not None
        builds = self.spans.get((file.part, file.tiles.size), {})
        first, last = file.builds
        named = [first] if first == last else [build for build in builds if first <= build <= last]
        return sum(_common(builds.get(build, ()), file.tiles.span) for build in named)


def _share(file: StoredFile, written: _Index, counting: _Index) -> float:
    """Estimate which share of a file's rows counts no more; 0 where that is not known."""
    if file.tiles is None or not (wrote := written.length(file)):
        return 0.0
    return 1 - counting.length(file) / wrote


def _common(spans: Iterable[Span], span: Span) -> int:
    return sum(max(min(end, span[1]) - max(start, span[0]), 0) for start, end in spans)


def _difference(written: Iterable[TileRows], counting: Iterable[TileRows]) -> Iterable[TileRows]:
    """Give what was written and in no way counts."""
    by_build: defaultdict[tuple[str, int], list[TileRows]] = defaultdict(list)
    for one in counting:
        by_build[one.build, one.tiles.size].append(one)
    for one in written:
        size = one.tiles.size
        holes = [other.tiles.span for other in by_build[one.build, size] if other.parts & one.parts]
        for start, end in cut([one.tiles.span], holes):
            yield TileRows(build=one.build, parts=one.parts, tiles=TileRange(size=size, start=start, end=end))
