"""Where the rows of tiles lie in their table: folders by part, size and period, files by builds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.tiles import VALUE, Tiles
from featurestore.ir.ddl import quote
from featurestore.ir.tiles import BUILD, PART, PARTIALS, PERIOD, SIZE, TILE
from featurestore.plan.tile_ranges import LADDER, TileRange

__all__ = ["rows_of_builds", "stored_rows"]

_DAY = LADDER[2]
_TILES_IN_A_PERIOD = 8


def rows_of_builds(parts: Sequence[tuple[str, TileRange]]) -> Column:
    """Pick rows of builds and ranges: by folders, by statistics of files, and by what only both together tell.

    The last is one CASE, which nothing is taken out of: Delta picks the files once when the conditions that it knows
    them by stay as they are until the scan, and twice when they don't.
    """
    if not parts:
        return F.lit(False)
    folders: list[str] = []
    by_size: dict[int, list[str]] = {}
    for build, tiles in parts:
        first = tiles.start // _period_micros(tiles.size) * _period_micros(tiles.size)
        folders.append(f"{SIZE} = {tiles.size} AND {PERIOD} >= {first} AND {PERIOD} < {tiles.end}")
        inside = f"{TILE} >= {tiles.start} AND {TILE} < {tiles.end} AND {BUILD} = '{build}'"
        by_size.setdefault(tiles.size, []).append(inside)
    files = [inside for rows in by_size.values() for inside in rows]
    picked = F.expr(_any(folders)) & F.expr(_any(files))
    if len(by_size) == 1:
        return picked
    cases = " ".join(f"WHEN {size} THEN {_any(rows)}" for size, rows in by_size.items())
    return picked & F.expr(f"CASE {SIZE} {cases} END")


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(f"({condition})" for condition in dict.fromkeys(conditions))


def _period_micros(size: int) -> int:
    return max(_DAY, size * _TILES_IN_A_PERIOD)


def stored_rows(tiles: Tiles) -> list[DataFrame]:
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
