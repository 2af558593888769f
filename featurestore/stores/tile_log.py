"""A tile table's log, read without Spark: what was built, what was cleared away, and which files there are."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from featurestore.ir.tiles import BUILD, PART, SIZE, TILE, TOTALS
from featurestore.plan.tile_coverage import TileCommit
from featurestore.plan.tile_files import StoredFile
from featurestore.plan.tile_ranges import TileRange
from featurestore.plan.tile_upkeep import ObsoleteTiles, obsolete_tiles
from featurestore.stores.tile_json import tile_clearing_from_json, tile_commit_from_json

__all__ = ["TileLog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLog:
    """The log up to ``version``: the builds, oldest first. -1 where there is no table.

    Upkeep deleted the rows that counted no more at version ``cleared`` (-1: never).
    """

    version: int = -1
    commits: tuple[TileCommit, ...] = ()
    cleared: int = -1
    table: DeltaTable | None = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, path: str) -> TileLog:
        try:
            table = DeltaTable(path)
        except TableNotFoundError:
            return cls()
        history = [(entry["version"], entry.get("userMetadata")) for entry in table.history()]
        found = (tile_commit_from_json(text, version=version) for version, text in reversed(history))
        cleared = (tile_clearing_from_json(text) for _, text in history)
        return cls(
            version=table.version(),
            commits=tuple(commit for commit in found if commit is not None),
            cleared=max((seen for seen in cleared if seen is not None), default=-1),
            table=table,
        )

    def files(self) -> tuple[StoredFile, ...]:
        """Give the files of that version, as their folders and statistics describe them."""
        return () if self.table is None else _files(self.table)

    def obsolete(self) -> ObsoleteTiles:
        """Find the rows that count no more."""
        return obsolete_tiles(self.commits, self.files(), cleared=self.cleared)


def _files(table: DeltaTable) -> tuple[StoredFile, ...]:
    actions = table.get_add_actions(flatten=True)
    names = actions.schema.names
    wanted = (f"partition.{PART}", f"partition.{SIZE}", f"min.{TILE}", f"max.{TILE}", f"min.{BUILD}", f"max.{BUILD}")
    empty = [None] * actions.num_rows
    columns = [
        actions.column(name).to_pylist() if name in names else empty for name in (*wanted, "num_records", "size_bytes")
    ]
    files = []
    for part, size, first, last, least, greatest, rows, size_bytes in zip(*columns, strict=True):
        has_statistics = None not in (first, last, least, greatest, rows)
        length = 1 if part == TOTALS else size
        tiles = TileRange(size=size, start=first, end=last + length) if has_statistics else None
        builds = (least or "", greatest or "")
        files.append(StoredFile(part=part, tiles=tiles, builds=builds, rows=rows or 0, size_bytes=size_bytes))
    return tuple(files)
