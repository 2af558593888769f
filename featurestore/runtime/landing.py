"""Rows that were written offline without Spark: from Parquet files into the view's table."""

from __future__ import annotations

import hashlib
import json
import logging

from pyarrow import fs

from featurestore.filesystems import open_files
from featurestore.ir.columns import COMPUTED_AT, CREATED_TIMESTAMP, EVENT_TIMESTAMP, landing_location
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext

__all__ = ["append_landed", "drop_landed", "landed_files"]

logger = logging.getLogger(__name__)


def append_landed(context: RuntimeContext, view: StoredViewNode) -> int:
    """Append the rows that landed since to the view's table, and delete their files; give how many were new.

    Idempotent: a row that is there already (same keys, event and created time) is not appended again, the files of one
    append make one Delta transaction, and they are deleted after its commit.
    """
    folder, names = landed_files(context, view)
    if not names:
        return 0
    from pyspark.sql import functions as F

    root = context.settings.offline_root.rstrip("/")
    files = [f"{root}/{landing_location(view)}/{name}" for name in names]
    rows = context.spark.read.parquet(*files)
    identity = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    rows = rows.dropDuplicates(identity)
    if context.offline.exists(view):
        rows = rows.join(context.offline.rows(view).select(*identity), identity, "left_anti")
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    appended = context.offline.append_rows(
        rows.withColumn(COMPUTED_AT, F.lit(context.clock())),
        view,
        app_id=f"{context.settings.project}/{landing_location(view)}/{digest}",
        metadata=json.dumps({"format": 1, "landed": len(names)}),
    )
    filesystem, inner = folder
    for name in names:
        filesystem.delete_file(f"{inner}/{name}")
    logger.info("%s: %d rows of %d landed files appended", view.name, appended, len(names))
    return appended


def drop_landed(context: RuntimeContext, view: StoredViewNode) -> None:
    """Delete rows that landed and were not appended."""
    (filesystem, inner), _ = landed_files(context, view)
    if filesystem.get_file_info(inner).type is fs.FileType.Directory:
        filesystem.delete_dir(inner)


def landed_files(context: RuntimeContext, view: StoredViewNode) -> tuple[tuple[fs.FileSystem, str], list[str]]:
    """Give the landing folder, and the names of the files in it that are whole."""
    filesystem, inner = open_files(f"{context.settings.offline_root.rstrip('/')}/{landing_location(view)}")
    found = filesystem.get_file_info(fs.FileSelector(inner, allow_not_found=True))
    return (filesystem, inner), sorted(info.base_name for info in found if info.base_name.endswith(".parquet"))
