"""Folders on whatever file system Spark reaches: local, HDFS or an object store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

__all__ = ["clear_leftovers", "delete_folder", "list_changes"]


def delete_folder(spark: SparkSession, path: str) -> bool:
    """Delete a folder with all in it; False where there is none."""
    filesystem, folder = _open(spark, path)
    return bool(filesystem.delete(folder, True))


def clear_leftovers(spark: SparkSession, path: str) -> None:
    """Delete hidden files and empty folders in a folder, then the folder itself, unless anything else is in it.

    What is written meanwhile is safe: a folder that is not empty refuses to go. (Hadoop's own deletion of a local
    folder looks first and then deletes all that is there by then.)
    """
    filesystem, folder = _open(spark, path)
    if filesystem.getScheme() == "file":
        local = Path(folder.toUri().getPath())
        with suppress(OSError):
            for entry in sorted(local.iterdir()):
                is_checksum = entry.suffix == ".crc" and (local / entry.name[1:-4]).exists()
                if entry.is_dir():
                    entry.rmdir()
                elif entry.name.startswith(".") and not is_checksum:
                    entry.unlink()
            local.rmdir()
        return
    for status in [*filesystem.listStatus(folder), filesystem.getFileStatus(folder)]:
        if status.isDirectory() or status.getPath().getName().startswith("."):
            with suppress(Py4JJavaError):
                filesystem.delete(status.getPath(), False)


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
