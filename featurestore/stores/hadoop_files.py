"""Folders on whatever file system Spark reaches: local, HDFS or an object store."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

__all__ = ["delete_folder", "list_changes"]


def delete_folder(spark: SparkSession, path: str) -> bool:
    """Delete a folder with all in it; False where there is none."""
    filesystem, folder = _open(spark, path)
    return bool(filesystem.delete(folder, True))


def list_changes(spark: SparkSession, path: str) -> tuple[tuple[str, int], ...]:
    """Give name and time of change (ms) of a folder and of what lies directly in it; nothing where there is none."""
    filesystem, folder = _open(spark, path)
    if not filesystem.exists(folder):
        return ()
    found = [filesystem.getFileStatus(folder), *filesystem.listStatus(folder)]
    return tuple(sorted((str(status.getPath()), int(status.getModificationTime())) for status in found))


def _open(spark: SparkSession, path: str) -> tuple[Any, Any]:
    jvm = spark._jvm
    assert jvm is not None, "a classic Spark session has a JVM"
    folder = jvm.org.apache.hadoop.fs.Path(path)
    return folder.getFileSystem(spark._jsc.hadoopConfiguration()), folder
