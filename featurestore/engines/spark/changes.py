"""What changed in a source between two pins: the rows that came and went, where that can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.engines.base import SourcePin
from featurestore.engines.changed_files import FileChanges, changed_files
from featurestore.engines.spark.schema import order_key
from featurestore.engines.spark.sources import conform_delta, read_source
from featurestore.intervals import Interval
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode

__all__ = ["CHANGE", "SourceChanges", "source_changes", "table_location"]

CHANGE = "__change"
"""+1 for a row that came, -1 for one that went; a row that was altered is in twice."""
_FILE, _TIMES, _VALUES = "__file", "__times", "__values"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanges:
    """What is different at the later pin; ``files`` tells without Spark, ``rows`` by a lazy frame.

    ``rows``: the columns of ``source.schema`` and CHANGE, each row as often as it came or went; rows that were only
    moved to other files are not in it. None where nothing changed, or where ``files.unknown`` says why the state
    before cannot be compared: then ``read_source`` has to be read again as far back as it may have changed.
    """

    files: FileChanges
    rows: DataFrame | None = None


def source_changes(
    spark: SparkSession,
    source: FileSourceNode | DeltaSourceNode,
    before: SourcePin,
    after: SourcePin,
    *,
    resolve: Callable[[str], str],
) -> SourceChanges:
    """Compare two pins of one source. Of Delta this runs no Spark job; of new files Spark reads the schema in one.

    Delta with change data feed: the feed, netted. Delta without: the rows of added and removed files, netted.
    A Delta source with a ``query``: the difference of its results. Files: the rows of those that were added; one that
    was removed or written over leaves the state before unknown.
    """
    path = table_location(spark, source)
    files = changed_files(source, before, after, resolve=resolve, table_path=path)
    if files.is_empty or files.unknown is not None:
        return SourceChanges(files=files)
    if isinstance(source, FileSourceNode):
        names = {file.path for file in files.added}
        state = {"files": [entry for entry in after.state["files"] if entry[0] in names]}
        pin = SourcePin(source=source.name, kind=after.kind, state=state)
        rows = read_source(spark, source, pin, resolve=resolve).withColumn(CHANGE, F.lit(1))
        return SourceChanges(files=files, rows=rows)
    if source.query is not None:
        old, new = (read_source(spark, source, pin, resolve=resolve) for pin in (before, after))
        return SourceChanges(files=files, rows=_net(source, _signed(old, -1).unionByName(_signed(new, 1))))
    if files.has_feed:
        return SourceChanges(files=files, rows=_net(source, _feed(spark, source, before, after, resolve)))
    return SourceChanges(files=files, rows=_from_files(spark, source, before, after, files, resolve))


def table_location(spark: SparkSession | None, source: FileSourceNode | DeltaSourceNode) -> str | None:
    """Give where a catalogue table lies; None for a source with a path of its own, or without a session."""
    if spark is None or not isinstance(source, DeltaSourceNode) or source.table is None:
        return None
    name = ".".join(map(quote, source.table.split(".")))
    found = spark.sql(f"DESCRIBE DETAIL {name}").first()
    return None if found is None else str(found["location"]).removeprefix("file:")


def _feed(
    spark: SparkSession,
    source: DeltaSourceNode,
    before: SourcePin,
    after: SourcePin,
    resolve: Callable[[str], str],
) -> DataFrame:
    reader = spark.read.format("delta").option("readChangeFeed", "true")
    reader = reader.option("startingVersion", int(before.state["version"]) + 1)
    reader = reader.option("endingVersion", int(after.state["version"]))
    frame = reader.table(source.table or "") if source.path is None else reader.load(resolve(source.path))
    kind = F.col("_change_type")
    change = F.when(kind.isin("insert", "update_postimage"), F.lit(1)).otherwise(F.lit(-1))
    return conform_delta(source, frame, {CHANGE: change})


def _from_files(
    spark: SparkSession,
    source: DeltaSourceNode,
    before: SourcePin,
    after: SourcePin,
    files: FileChanges,
    resolve: Callable[[str], str],
) -> DataFrame:
    """Read both sides by time travel, so that deletion vectors, partitions and column names are Delta's business."""
    sides = []
    for pin, changed, sign in ((before, files.removed, -1), (after, files.added, 1)):
        if not changed:
            continue
        names = sorted({file.path.rpartition("/")[2] for file in changed})
        reader = spark.read.format("delta").option("versionAsOf", int(pin.state["version"]))
        frame = reader.table(source.table or "") if source.path is None else reader.load(resolve(source.path))
        rows = conform_delta(source, frame, {CHANGE: F.lit(sign), _FILE: F.col("_metadata.file_name")})
        sides.append(_within(source, rows, files.times).where(F.col(_FILE).isin(names)).drop(_FILE))
    if len(sides) == 1:
        return sides[0]
    return _net(source, sides[0].unionByName(sides[1]))


def _within(source: DeltaSourceNode, rows: DataFrame, times: Interval | None) -> DataFrame:
    """Skip files by the event times of those that changed."""
    if source.timestamp_field is None or times is None:
        return rows
    at = F.col(quote(source.timestamp_field))
    return rows.where(at.isNull() | ((at >= F.lit(times.start)) & (at < F.lit(times.end))))


def _signed(rows: DataFrame, sign: int) -> DataFrame:
    return rows.withColumn(CHANGE, F.lit(sign))


def _net(source: DeltaSourceNode, rows: DataFrame) -> DataFrame:
    """Cancel equal rows, equal by bits, that both came and went."""
    names = [field.name for field in source.schema]
    keys: Iterable[Column] = (
        order_key(F.col(quote(field.name)), field.dtype).alias(f"__key{place}")
        for place, field in enumerate(source.schema)
    )
    netted = rows.groupBy(*keys).agg(
        F.sum(CHANGE).alias(_TIMES), F.first(F.struct(*(F.col(quote(name)) for name in names))).alias(_VALUES)
    )
    repeated = netted.where(F.col(_TIMES) != 0).withColumn(
        CHANGE, F.explode(F.expr(f"array_repeat(CAST(sign({_TIMES}) AS INT), CAST(abs({_TIMES}) AS INT))"))
    )
    return repeated.select(*(F.col(_VALUES)[name].alias(name) for name in names), CHANGE)
