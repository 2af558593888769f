"""Folders on whatever file system Spark reaches: local, HDFS or an object store."""

from __future__ import annotations

from pyspark.sql import SparkSession

__all__ = ["delete_folder"]


def delete_folder(spark: SparkSession, path: str) -> bool:
    """Delete a folder with all in it; False where there is none."""
    jvm = spark._jvm
    assert jvm is not None, "a classic Spark session has a JVM"
    configuration = spark._jsc.hadoopConfiguration()
    folder = jvm.org.apache.hadoop.fs.Path(path)
    return bool(folder.getFileSystem(configuration).delete(folder, True))
