"""A small Spark job that loads the classes a usual one needs: Delta writes, change feed, windows, Arrow workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_MERGE = """
MERGE INTO delta.`{target}` t USING changes s ON t.key = s.key AND t.day = s.day
WHEN MATCHED AND NOT (t.total <=> s.total) THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *
"""


def main(folder: str) -> None:
    """Write and read throw-away tables under ``folder``."""
    spark = (
        SparkSession.builder.appName("class-data-archive")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.databricks.delta.properties.defaults.enableChangeDataFeed", "true")
        .getOrCreate()
    )
    events = _events(spark, folder)
    target = f"{folder}/totals"
    totals = events.groupBy("key", "day").agg(
        f.sum("value").alias("total"), f.count("value").alias("number"), f.max_by("value", "at").alias("latest")
    )
    totals.write.format("delta").partitionBy("day").save(target)
    totals.where("day = '2026-01-01'").write.format("delta").mode("overwrite").option(
        "replaceWhere", "day = '2026-01-01'"
    ).save(target)
    totals.withColumn("total", f.lit(1.0)).createOrReplaceTempView("changes")
    spark.sql(_MERGE.format(target=target))
    changes = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 0).load(target)
    changes.groupBy("_change_type").count().collect()
    ranked = events.withColumn("place", f.row_number().over(Window.partitionBy("key").orderBy(f.desc("at"))))
    latest = ranked.where("place = 1").join(spark.read.format("delta").load(target), ["key", "day"], "left")
    latest.select("key", "total", "at").mapInArrow(_unchanged, "key long, total double, at timestamp").toPandas()
    latest.select("key", "total").repartition(2, "key").groupBy("key").applyInArrow(
        lambda table: table, "key long, total double"
    ).count()
    spark.stop()


def _events(spark: SparkSession, folder: str) -> DataFrame:
    numbers = spark.range(4_000)
    at = (f.col("id") * 60 + 1_767_225_600).cast("timestamp")
    events = numbers.select(
        (f.col("id") % 50).alias("key"),
        f.rand(1).alias("value"),
        at.alias("at"),
        f.date_format(at, "yyyy-MM-dd").alias("day"),
    )
    events.write.mode("overwrite").parquet(f"{folder}/events")
    return spark.read.parquet(f"{folder}/events")


def _unchanged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


if __name__ == "__main__":
    main(sys.argv[1])
