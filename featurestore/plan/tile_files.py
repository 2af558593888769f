"""Files of a tile table, as its log describes them, and what they say of tiles without being read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from featurestore.ir.tiles import PARTIALS, TOTALS
from featurestore.plan.tile_ranges import TileRange, Total

__all__ = ["StoredFile", "bytes_with", "rows_in", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file: all its rows are of one part and of builds between two names; no ``tiles`` where it has no statistics.

    Of totals, ``tiles`` has the windows' length as its size, and goes from the first end to after the last.
    """

    part: str
    tiles: TileRange | None
    builds: tuple[str, str]
    rows: int
    size_bytes: int = 0

    def has_total(self, total: Total) -> bool:
        """Say whether the file's bounds have the total's instant inside."""
        if self.part != TOTALS or self.tiles is None or self.tiles.size != (total.window or 0):
            return False
        return self.tiles.start <= total.end < self.tiles.end


def rows_in(ranges: Iterable[TileRange], files: Sequence[StoredFile]) -> int:
    """Estimate the rows of partial aggregates, as if a file's rows were spread evenly over its tiles.

    Where there are none of a size, finer ones are taken, of which they would be made.
    """
    known = [(file.tiles, file.rows) for file in files if file.part == PARTIALS and file.tiles is not None]
    sizes = sorted({tiles.size for tiles, _ in known}, reverse=True)
    rows = 0.0
    for wanted in ranges:
        estimates = (_rows_of_size(size, wanted, known) for size in sizes if size <= wanted.size)
        rows += next((estimate for estimate in estimates if estimate), 0.0)
    return round(rows)


def _rows_of_size(size: int, wanted: TileRange, known: Iterable[tuple[TileRange, int]]) -> float:
    common = (
        (min(tiles.end, wanted.end) - max(tiles.start, wanted.start), tiles.end - tiles.start, rows)
        for tiles, rows in known
        if tiles.size == size
    )
    return sum(rows * inside / length for inside, length, rows in common if inside > 0)


def rows_of(total: Total, files: Iterable[StoredFile]) -> int:
    """Give the rows of a total, of the greatest of its builds; 0 where it is in no file."""
    return max((file.rows for file in files if file.has_total(total)), default=0)


def bytes_with(ranges: Collection[TileRange], totals: Collection[Total], files: Iterable[StoredFile]) -> int:
    """Give the bytes of the files that may have tiles of the ranges, or totals."""

    def may_have(file: StoredFile) -> bool:
        held = file.tiles
        if held is None:
            return True
        if file.part == TOTALS:
            return any(file.has_total(total) for total in totals)
        return any(tiles.size == held.size and tiles.start < held.end and held.start < tiles.end for tiles in ranges)

    return sum(file.size_bytes for file in files if may_have(file))
