"""What each touched key of a view is to answer with online, and under which stamp."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from featurestore.ir.columns import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    INPUTS_TIMESTAMP,
    IS_DELETED,
    STAMP_CREATED,
    STAMP_EVENT,
)
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode

__all__ = ["has_one_row_a_key", "newest_rows", "spread_rows", "standing_answers"]

_ROW, _RANK, _DELETED_UNTIL = "__row", "__rank", "__deleted_until"


def newest_rows(appended: DataFrame, view: StoredViewNode) -> DataFrame:
    """Keep each key's row with the greatest online stamp."""
    row = F.struct(*(F.col(quote(name)) for name in appended.columns))
    newest = F.max_by(row, F.struct(online_event(view), F.col(CREATED_TIMESTAMP)))
    return appended.groupBy(*_keys(view)).agg(newest.alias(_ROW)).select(f"{_ROW}.*")


def has_one_row_a_key(appended: DataFrame, view: StoredViewNode) -> bool:
    """Say whether ``newest_rows`` would keep all rows: it sorts them whole, twice, where this counts keys alone."""
    return appended.groupBy(*_keys(view)).count().where("count > 1").isEmpty()


def spread_rows(appended: DataFrame, view: StoredViewNode) -> DataFrame:
    """Give every core its share of the rows where a commit left them in fewer files than there are cores."""
    context = appended.sparkSession.sparkContext
    if appended.rdd.getNumPartitions() >= context.defaultParallelism:
        return appended
    return appended.repartition(*_keys(view))


def standing_answers(appended: DataFrame, rows: DataFrame, view: StoredViewNode, *, delta_version: int) -> DataFrame:
    """Give for each key of ``appended`` the row that the table answers with, also after later rows were withdrawn.

    ``rows`` has all rows of the table at ``delta_version``. A key without an answer gets a row that says deleted. Where
    a statement as late as the answer, or later, was withdrawn, stamp_event and stamp_created say under which stamp the
    answer is to stand: the greatest event time that the key ever had, and a created time above all of its statements,
    which grows with the table's version. So the answer wins over what was withdrawn and over every earlier answer, and
    two publications in the wrong order leave the later one's. Both are null for all other rows.
    """
    names = [key.name for key in view.join_keys]
    newest = newest_rows(appended, view)
    deleted = rows.where(IS_DELETED).groupBy(*_keys(view)).agg(F.max(online_event(view)).alias(_DELETED_UNTIL))
    touched = newest.join(deleted, names, "left")
    is_plain = F.col(_DELETED_UNTIL).isNull() | (F.col(_DELETED_UNTIL) < online_event(view))
    no_time = F.lit(None).cast("timestamp")
    columns = [F.col(quote(name)) for name in appended.columns]
    plain = touched.where(is_plain).select(*columns, no_time.alias(STAMP_EVENT), no_time.alias(STAMP_CREATED))
    history = rows.join(F.broadcast(touched.where(~is_plain).select(*_keys(view))), names, "left_semi")
    return plain.unionByName(_restated(history, view, appended.columns, delta_version))


def online_event(view: StoredViewNode) -> Column:
    """Give the first part of a row's online stamp: of a prediction the time of its inputs."""
    event = F.col(EVENT_TIMESTAMP)
    return F.coalesce(F.col(INPUTS_TIMESTAMP), event) if isinstance(view, PredictionViewNode) else event


def _restated(history: DataFrame, view: StoredViewNode, columns: Sequence[str], delta_version: int) -> DataFrame:
    created = F.col(CREATED_TIMESTAMP)
    bounds = history.groupBy(*_keys(view)).agg(
        F.max(online_event(view)).alias(STAMP_EVENT),
        F.timestamp_micros(F.unix_micros(F.max(created)) + F.lit(delta_version)).alias(STAMP_CREATED),
    )
    by_time = Window.partitionBy(*_keys(view), EVENT_TIMESTAMP).orderBy(created.desc())
    standing = history.withColumn(_RANK, F.row_number().over(by_time)).where((F.col(_RANK) == 1) & ~F.col(IS_DELETED))
    row = F.struct(*(F.col(quote(name)) for name in columns))
    answers = standing.groupBy(*_keys(view)).agg(F.max_by(row, F.struct(online_event(view), created)).alias(_ROW))
    both = bounds.join(answers, [key.name for key in view.join_keys], "left")
    is_gone = F.col(_ROW).isNull()
    keys = {key.name for key in view.join_keys}
    gone = {EVENT_TIMESTAMP: F.col(STAMP_EVENT), CREATED_TIMESTAMP: F.col(STAMP_CREATED), IS_DELETED: F.lit(True)}
    values = [
        F.col(quote(name)) if name in keys else F.when(is_gone, gone.get(name)).otherwise(F.col(_ROW)[name]).alias(name)
        for name in columns
    ]
    return both.select(
        *values,
        *(F.when(~is_gone, F.col(name)).alias(name) for name in (STAMP_EVENT, STAMP_CREATED)),
    )


def _keys(view: StoredViewNode) -> list[Column]:
    return [F.col(quote(key.name)) for key in view.join_keys]
