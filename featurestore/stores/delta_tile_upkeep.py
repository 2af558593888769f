"""What upkeep deletes of a tile table: rows that count no more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.ir.tiles import BUILD, PART, PERIOD, SIZE, TILE
from featurestore.plan.tile_upkeep import TileRows
from featurestore.stores.delta_removal import ROWS, TABLE, remove_rows
from featurestore.stores.tile_json import tile_clearing_to_json
from featurestore.stores.tile_log import TileLog

__all__ = ["clear_tiles"]

_START, _END = "start", "end"
_COLUMNS = f"{BUILD} string, {PART} string, {SIZE} bigint, {_START} bigint, {_END} bigint"


def clear_tiles(spark: SparkSession, path: str) -> int | None:
    """Delete the rows that count no more, by one commit; give how many, None where builders came first each time.

    Which they are is asked of the log once. Builders beside it are neither disturbed nor wronged: one that planned
    before reads the version of its plan, and what it then commits is not among the rows named.
    """
    log = TileLog.read(path)
    rows = log.obsolete().rows
    if not rows:
        return 0

    def named(session: SparkSession) -> DataFrame:
        listed = [
            (one.build, part, one.tiles.size, one.tiles.start, one.tiles.end) for one in rows for part in one.parts
        ]
        return session.createDataFrame(sorted(listed), _COLUMNS)

    same = reduce(and_, (F.col(f"{TABLE}.{name}") == F.col(f"{ROWS}.{name}") for name in (PART, SIZE, BUILD)))
    tile = F.col(f"{TABLE}.{TILE}")
    return remove_rows(
        spark,
        path,
        named,
        matched_by=same & (tile >= F.col(f"{ROWS}.{_START}")) & (tile < F.col(f"{ROWS}.{_END}")),
        within=_within(rows),
        metadata=tile_clearing_to_json(log.version),
    )


def _within(rows: Sequence[TileRows]) -> Column:
    """Bound the folders and files that can have any of the rows."""
    first, last = min(one.tiles.start for one in rows), max(one.tiles.end for one in rows)
    table = {name: F.col(f"{TABLE}.{name}") for name in (PART, SIZE, PERIOD, TILE)}
    parts = sorted({part for one in rows for part in one.parts})
    sizes = sorted({one.tiles.size for one in rows})
    folders = table[PART].isin(parts) & table[SIZE].isin(sizes) & (table[PERIOD] < last)
    return folders & (table[TILE] >= first) & (table[TILE] < last)
