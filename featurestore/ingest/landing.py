"""Offline writes from processes without Spark: Parquet files that the next step appends to the view's table."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.filesystems import open_files
from featurestore.ir.columns import landing_location
from featurestore.ir.nodes import StoredViewNode

__all__ = ["Landing"]


class Landing:
    """Where a project's landed rows lie, by view version, under the offline store's root."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def write(self, view: StoredViewNode, rows: pa.RecordBatch) -> int:
        """Write rows as one file that is named by its content; give how many.

        Idempotent: the same rows with the same times are the same file. A file is there whole or not at all.
        """
        if not len(rows):
            return 0
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_batches([rows]), buffer)
        content = buffer.getvalue()
        filesystem, folder = open_files(f"{self._root}/{landing_location(view)}")
        filesystem.create_dir(folder, recursive=True)
        name = hashlib.sha256(content).hexdigest()[:32]
        temporary = f"{folder}/_{name}.part"
        with filesystem.open_output_stream(temporary) as file:
            file.write(content)
        filesystem.move(temporary, f"{folder}/{name}.parquet")
        return len(rows)
