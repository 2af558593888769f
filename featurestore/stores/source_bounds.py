"""How far a source reaches, read from statistics: no Spark, and no data where the statistics have it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from featurestore.filesystems import open_files
from featurestore.intervals import to_utc
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.stores.time_bounds import raw_timestamp, source_watermark

__all__ = ["greatest_timestamp"]


def greatest_timestamp(source: FileSourceNode | DeltaSourceNode, resolve: Callable[[str], str]) -> datetime | None:
    """Give the greatest value of a source's timestamp field; None where it holds no rows or is not there yet."""
    known = source_watermark(source, resolve)
    if known is not None:
        return known
    column = raw_timestamp(source)
    if isinstance(source, DeltaSourceNode):
        return _of_delta(resolve(source.path or ""), column)
    return _of_files(source, resolve(source.path), column)


def _of_delta(path: str, column: str) -> datetime | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(path)
    except TableNotFoundError:
        return None
    return _greatest(table.to_pyarrow_dataset().to_table(columns=[column])[column])


def _of_files(source: FileSourceNode, path: str, column: str) -> datetime | None:
    import pyarrow.dataset as ds
    from pyarrow import fs

    filesystem, inner = open_files(path)
    if filesystem.get_file_info(inner).type == fs.FileType.NotFound:
        return None
    formats: dict[str, ds.FileFormat] = {
        "parquet": ds.ParquetFileFormat(),
        "csv": ds.CsvFileFormat(),
        "json": ds.JsonFileFormat(),
    }
    dataset = ds.dataset(inner, filesystem=filesystem, format=formats[source.format])
    return _greatest(dataset.to_table(columns=[column])[column])


def _greatest(values: Any) -> datetime | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    micros = values.cast(pa.timestamp("us"), safe=False) if pa.types.is_timestamp(values.type) else values
    greatest = pc.max(micros.cast(pa.timestamp("us"))).as_py()
    return to_utc(greatest) if isinstance(greatest, datetime) else None
