"""A few rows of a Parquet file, read without Spark."""

from __future__ import annotations

import random
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.filesystems import open_files

__all__ = ["sample_file"]

_MOST_SKIPPED = 16


def sample_file(address: str, schema: pa.Schema, rows: int) -> pa.Table:
    """Read ``rows`` neighbouring rows from a random place near the start of a random row group.

    A column of ``schema`` that the file lacks, as one written before the table had it, is null.
    """
    path = unquote(address.removeprefix("file://").removeprefix("file:")) if address.startswith("file:") else address
    filesystem, base = open_files(path)
    with filesystem.open_input_file(base) as file, pq.ParquetFile(file) as parquet:
        groups = parquet.num_row_groups
        if not groups:
            return schema.empty_table()
        columns = [name for name in schema.names if name in parquet.schema_arrow.names]
        group = random.randrange(groups)
        lots = -(-parquet.metadata.row_group(group).num_rows // rows)
        wanted = random.randrange(min(lots, _MOST_SKIPPED))
        batches = parquet.iter_batches(batch_size=rows, row_groups=[group], columns=columns)
        for number, batch in enumerate(batches):
            if number == wanted:
                return _with_nulls(pa.Table.from_batches([batch]), schema)
    return schema.empty_table()


def _with_nulls(found: pa.Table, schema: pa.Schema) -> pa.Table:
    for field in schema:
        if field.name not in found.column_names:
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
    return found.select(schema.names)
