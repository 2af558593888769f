"""The least and greatest instant of a column, from statistics alone: no Spark, and no data is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import unquote

from featurestore.filesystems import open_files
from featurestore.intervals import Interval, to_utc
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode

__all__ = ["TimeBounds", "delta_bounds", "may_hold", "raw_timestamp", "source_watermark"]

TimeBounds: TypeAlias = tuple[datetime, datetime]

_MILLISECOND = timedelta(milliseconds=1)
_MOST_FOOTERS = 16


def delta_bounds(path: str, column: str) -> TimeBounds | None:
    """Read a Delta table's file statistics, which are exact to a millisecond.

    None where there is no table, no row, or a file without statistics of the column.
    """
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(path)
    except TableNotFoundError:
        return None
    files = pa.table(table.get_add_actions(flatten=True))
    if "num_records" in files.column_names:
        files = files.filter(pa.array([count != 0 for count in files["num_records"].to_pylist()], pa.bool_()))
    least, greatest = f"min.{column}", f"max.{column}"
    if not len(files) or not {least, greatest} <= set(files.column_names):
        return None
    return _bounds(zip(files[least].to_pylist(), files[greatest].to_pylist(), strict=True))


def may_hold(path: str, column: str, within: Interval) -> bool:
    """Say whether a Delta table may have rows whose instants are in a range; False where none can, to the microsecond.

    Statistics in the log are cut to a millisecond. Of a file that may reach into the range by less, the footer is
    read, which is exact.
    """
    import pyarrow as pa
    from deltalake import DeltaTable

    files = pa.table(DeltaTable(path).get_add_actions(flatten=True))
    least, greatest = f"min.{column}", f"max.{column}"
    if not {least, greatest} <= set(files.column_names):
        return bool(len(files))
    unsure = []
    for name, first, last in zip(*(files[name].to_pylist() for name in ("path", least, greatest)), strict=True):
        bounds = _bounds(iter([(first, last)]))
        if bounds is None or (bounds[0] < within.end and bounds[1] >= within.start):
            return True
        if bounds[0] < within.end and bounds[1] + _MILLISECOND > within.start:
            unsure.append(f"{path}/{unquote(name)}")
    return len(unsure) > _MOST_FOOTERS or any(_reaches(file, column, within.start) for file in unsure)


def _reaches(file: str, column: str, start: datetime) -> bool:
    bounds = _parquet_bounds(file, column)
    return bounds is None or bounds[1] >= start


def source_watermark(source: FileSourceNode | DeltaSourceNode, resolve: Callable[[str], str]) -> datetime | None:
    """Give the greatest event time of a source; None where statistics do not have it (CSV, JSON, a query)."""
    column = raw_timestamp(source)
    if isinstance(source, DeltaSourceNode):
        bounds = delta_bounds(resolve(source.path), column) if source.path else None
    else:
        bounds = _parquet_bounds(resolve(source.path), column) if source.format == "parquet" else None
    return None if bounds is None else bounds[1]


def raw_timestamp(source: FileSourceNode | DeltaSourceNode) -> str:
    """Give the timestamp field's name in the files."""
    renamed = {new: old for old, new in source.field_mapping}
    return renamed.get(source.timestamp_field or "", source.timestamp_field or "")


def _parquet_bounds(path: str, column: str) -> TimeBounds | None:
    import pyarrow.dataset as ds
    from pyarrow import fs

    filesystem, inner = open_files(path)
    if filesystem.get_file_info(inner).type == fs.FileType.NotFound:
        return None
    fragments: Any = ds.dataset(inner, filesystem=filesystem, format=ds.ParquetFileFormat()).get_fragments()
    groups = [group.statistics or {} for fragment in fragments for group in fragment.row_groups if group.num_rows]
    if any(column not in group for group in groups):
        return None
    return _bounds((group[column]["min"], group[column]["max"]) for group in groups)


def _bounds(parts: Iterator[tuple[Any, Any]]) -> TimeBounds | None:
    """Put parts together; one that has no instant (all null, or another type) spoils the whole."""
    known = list(parts)
    if not known or not all(isinstance(instant, datetime) for part in known for instant in part):
        return None
    return to_utc(min(least for least, _ in known)), to_utc(max(greatest for _, greatest in known))
