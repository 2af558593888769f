"""What a run has to append so that its rows stand: new and corrected rows, and deletions of what is gone."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from featurestore.engines.spark.schema import order_key, spark_type
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, IS_DELETED, stored_features
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import FieldNode, StoredViewNode

__all__ = ["rows_to_append"]

_TARGET, _STANDING, _NEWEST = "__target", "__standing", "__newest"


def rows_to_append(
    target: DataFrame, standing: DataFrame | None, *, view: StoredViewNode, created: datetime
) -> DataFrame:
    """Compare what should stand with what stands at the same event times; give the rows to append.

    ``target`` may have several statements (created times) of one (key, event time): its newest is what should stand;
    the others are history, appended only with a (key, event time) that does not stand, or when they are newer than
    what does. ``standing`` has one row of each; with an ``is_deleted`` column it may include deletions, which a row
    that comes back has to outdo. None: nothing stands there, and all rows are appended as they are.

    A row differs by bits: NaN equals itself, 0.0 and -0.0 differ. A correction is created after what it replaces: at
    its own created time if that is later, else at the greater of ``created`` and the replaced one + 1 µs; so is a
    deletion, whose features are null. Columns: join keys, event_timestamp, created_timestamp, is_deleted, features.
    """
    features = stored_features(view)
    identity = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP]
    at = [F.col(quote(name)) for name in identity]
    if standing is None:
        values = (F.col(quote(f.name)).cast(spark_type(f.dtype)).alias(f.name) for f in features)
        return target.select(*at, CREATED_TIMESTAMP, F.lit(False).alias(IS_DELETED), *values)
    newest = F.max(CREATED_TIMESTAMP).over(Window.partitionBy(*at))
    wanted = target.select(
        *at,
        F.struct(CREATED_TIMESTAMP, *_values(features)).alias(_TARGET),
        (F.col(CREATED_TIMESTAMP) == newest).alias(_NEWEST),
    )
    is_deleted = F.col(IS_DELETED) if IS_DELETED in standing.columns else F.lit(False)
    stands = standing.select(
        *at, F.struct(CREATED_TIMESTAMP, is_deleted.alias(IS_DELETED), *_values(features)).alias(_STANDING)
    )
    both = wanted.join(stands, identity, "full_outer")
    row, old = F.col(_TARGET), F.col(_STANDING)
    is_held = old.isNotNull() & ~old[IS_DELETED]
    is_gone = row.isNull() & is_held
    is_newer = old.isNull() | (row[CREATED_TIMESTAMP] > old[CREATED_TIMESTAMP])
    is_same = is_held
    for feature in features:
        is_same = is_same & order_key(row[feature.name], feature.dtype).eqNullSafe(
            order_key(old[feature.name], feature.dtype)
        )
    is_appended = row.isNotNull() & ((F.col(_NEWEST) & ~is_same) | (~F.col(_NEWEST) & is_newer))
    outdone = F.timestamp_micros(F.unix_micros(old[CREATED_TIMESTAMP]) + 1)
    stamp = F.when(is_newer & row.isNotNull(), row[CREATED_TIMESTAMP]).otherwise(F.greatest(outdone, F.lit(created)))
    return both.where(is_appended | is_gone).select(
        *at,
        stamp.alias(CREATED_TIMESTAMP),
        is_gone.alias(IS_DELETED),
        *(_feature(row, feature) for feature in features),
    )


def _values(features: tuple[FieldNode, ...]) -> list[Column]:
    return [F.col(quote(feature.name)) for feature in features]


def _feature(row: Column, feature: FieldNode) -> Column:
    return row[feature.name].cast(spark_type(feature.dtype)).alias(feature.name)
