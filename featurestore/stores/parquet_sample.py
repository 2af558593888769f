"""A few rows of a Parquet file, read without Spark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.filesystems import open_files

__all__ = ["sample_file"]

_MOST_SKIPPED = 16


def sample_file(address: str, columns: Sequence[str], rows: int) -> pa.Table:
    """Read ``rows`` neighbouring rows from a random place near the start of a random row group."""
    # Spark writes addresses as URIs, with file:/ for a local path.
    path = unquote(address.removeprefix("file://").removeprefix("file:")) if address.startswith("file:") else address
    filesystem, base = open_files(path)
    with filesystem.open_input_file(base) as file, pq.ParquetFile(file) as parquet:
        groups = parquet.num_row_groups
        if not groups:
            return parquet.schema_arrow.empty_table().select(list(columns))
        group = random.randrange(groups)
        lots = -(-parquet.metadata.row_group(group).num_rows // rows)
        wanted = random.randrange(min(lots, _MOST_SKIPPED))
        batches = parquet.iter_batches(batch_size=rows, row_groups=[group], columns=list(columns))
        for number, batch in enumerate(batches):
            if number == wanted:
                return pa.Table.from_batches([batch])
    return parquet.schema_arrow.empty_table().select(list(columns))
