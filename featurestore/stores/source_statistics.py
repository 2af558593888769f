"""What a source holds by its own statistics: Delta's log, Parquet's footers, sizes of files. No Spark, no data read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from featurestore.filesystems import open_files
from featurestore.intervals import to_utc
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.plan.amounts import SourcePart
from featurestore.stores.time_bounds import raw_timestamp

__all__ = ["source_parts", "table_row_bytes"]


def source_parts(
    source: FileSourceNode | DeltaSourceNode, resolve: Callable[[str], str]
) -> tuple[SourcePart, ...] | None:
    """Give a source's parts; None where it is not there, or is a catalogue's table, which only Spark finds."""
    column = raw_timestamp(source)
    if isinstance(source, DeltaSourceNode):
        return None if source.path is None else _delta_parts(resolve(source.path), column)
    if source.format == "parquet":
        return _parquet_parts(resolve(source.path), column)
    return _plain_parts(resolve(source.path))


def table_row_bytes(path: str) -> float | None:
    """Give the bytes of a row in the Delta table at ``path``; None where it has no rows."""
    parts = _delta_parts(path, "") or ()
    rows = sum(part.rows or 0 for part in parts)
    return sum(part.size for part in parts) / rows if rows else None


def _delta_parts(path: str, column: str) -> tuple[SourcePart, ...] | None:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(path)
    except TableNotFoundError:
        return None
    files = pa.table(table.get_add_actions(flatten=True))
    names = ("size_bytes", "num_records", f"min.{column}", f"max.{column}")
    columns = [files[name].to_pylist() if name in files.column_names else [None] * len(files) for name in names]
    return tuple(
        SourcePart(rows=rows, size=size, least=_instant(least), greatest=_instant(greatest))
        for size, rows, least, greatest in zip(*columns, strict=True)
        if rows != 0
    )


def _parquet_parts(path: str, column: str) -> tuple[SourcePart, ...] | None:
    import pyarrow.dataset as ds
    from pyarrow import fs

    filesystem, inner = open_files(path)
    if filesystem.get_file_info(inner).type == fs.FileType.NotFound:
        return None
    fragments: Any = ds.dataset(inner, filesystem=filesystem, format=ds.ParquetFileFormat()).get_fragments()
    return tuple(_row_groups(fragments, column))


def _row_groups(fragments: Any, column: str) -> Iterator[SourcePart]:
    for fragment in fragments:
        for number, group in enumerate(fragment.row_groups):
            found = (group.statistics or {}).get(column, {})
            stored = fragment.metadata.row_group(number)
            yield SourcePart(
                rows=group.num_rows,
                size=sum(stored.column(index).total_compressed_size for index in range(stored.num_columns)),
                least=_instant(found.get("min")),
                greatest=_instant(found.get("max")),
            )


def _plain_parts(path: str) -> tuple[SourcePart, ...] | None:
    from pyarrow import fs

    filesystem, inner = open_files(path)
    info = filesystem.get_file_info(inner)
    if info.type == fs.FileType.NotFound:
        return None
    is_file = info.type == fs.FileType.File
    files = [info] if is_file else filesystem.get_file_info(fs.FileSelector(inner, recursive=True))
    return tuple(SourcePart(rows=None, size=file.size) for file in files if file.type == fs.FileType.File)


def _instant(value: Any) -> datetime | None:
    return to_utc(value) if isinstance(value, datetime) else None
