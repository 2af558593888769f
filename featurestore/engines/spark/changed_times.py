"""Between two pinned states of a source: the times whose rows differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.engines.base import SourcePin
from featurestore.engines.spark.changes import source_changes
from featurestore.intervals import to_micros
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode
from featurestore.plan.tile_ranges import LADDER, Span, cut, joined

__all__ = ["changed_times"]

_HOUR = LADDER[1]


def changed_times(
    spark: SparkSession,
    source: FileSourceNode | DeltaSourceNode,
    before: SourcePin,
    after: SourcePin,
    *,
    held: Sequence[Span],
    resolve: Callable[[str], str],
) -> tuple[Span, ...] | None:
    """Give spans, in microseconds, that hold the event times of all rows that came or went; None where it is unknown.

    Bounds of files that came and went do where they touch nothing of ``held``: no Spark job, no data read. Else the
    changed rows are read, and told by the hour.
    """
    if before.kind != after.kind or source.timestamp_field is None:
        return None
    changes = source_changes(spark, source, before, after, resolve=resolve)
    if changes.files.unknown is not None:
        return None
    if changes.rows is None:
        return ()
    times = [file.times for file in (*changes.files.added, *changes.files.removed)]
    bounds = [(to_micros(bound.start), to_micros(bound.end)) for bound in times if bound is not None]
    if len(bounds) == len(times) and cut(held, bounds) == joined(held):
        return joined(bounds)
    at = F.unix_micros(F.col(quote(source.timestamp_field)))
    hours = changes.rows.where(at.isNotNull()).select((at - F.pmod(at, F.lit(_HOUR))).alias("hour")).distinct()
    return joined((row["hour"], row["hour"] + _HOUR) for row in hours.collect())
