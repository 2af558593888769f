"""The last step of each computation: a view's columns in its types, keys present, one row for each identity."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.schema import checked_cast, is_castable, order_key, spark_type
from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.ddl import quote
from featurestore.ir.nodes import FieldNode, StoredViewNode, ViewNode
from featurestore.spec.dtypes import Timestamp, show_dtype

__all__ = ["conformed", "has_null_key", "keys_of", "only_keys", "selected", "unique", "with_keys"]

_TIMES = (
    FieldNode(name=EVENT_TIMESTAMP, dtype=Timestamp),
    FieldNode(name=CREATED_TIMESTAMP, dtype=Timestamp),
)


def has_null_key(view: ViewNode) -> Column:
    """Say whether a part of the row's key is null."""
    return reduce(or_, (F.col(quote(key.name)).isNull() for key in view.join_keys), F.lit(False))


def with_keys(view: ViewNode, frame: DataFrame, counts: PassCounts, total: str = "rows_read") -> DataFrame:
    """Drop rows with a null key, counting them and all rows."""
    is_null = has_null_key(view)
    counted = counts.observe(frame, **{total: F.count(F.lit(1)), "null_keys_dropped": F.count_if(is_null)})
    return counted.where(~is_null)


def conformed(view: ViewNode, frame: DataFrame) -> DataFrame:
    """Select keys, event_timestamp, created_timestamp and features in the manifest's types, as ``selected`` does."""
    return selected(frame, (*view.join_keys, *_TIMES, *view.features), view=view.name)


def selected(frame: DataFrame, fields: Iterable[FieldNode], *, view: str) -> DataFrame:
    """Select columns in the types that they are declared to have.

    SchemaMismatch lists all columns that are missing or of another kind; a value that its type cannot hold fails the
    query, naming view and column.
    """
    types = {field.name.lower(): field.dataType for field in frame.schema}
    problems, columns = [], []
    for field in fields:
        found, wanted = types.get(field.name.lower()), spark_type(field.dtype)
        if found is None or not is_castable(found, wanted):
            problems.append(
                Problem(
                    location=f"view {view!r}",
                    object=field.name,
                    message=f"found {found.simpleString() if found else f'no such column among {frame.columns}'}, "
                    f"valid is {show_dtype(field.dtype)}; correct the schema, or CAST in the query",
                )
            )
            continue
        what = f"view {view!r}, column {field.name!r}"
        columns.append(checked_cast(F.col(quote(field.name)), found, wanted, what=what).alias(field.name))
    if problems:
        raise SchemaMismatch(problems)
    return frame.select(*columns)


def keys_of(view: StoredViewNode, frame: DataFrame) -> DataFrame:
    """Give the distinct join keys of a frame, in the view's types; those with a null part are left out."""
    keys = frame.select(*(_key(view, frame, field).alias(field.name) for field in view.join_keys))
    return keys.dropna().distinct()


def only_keys(view: StoredViewNode, frame: DataFrame, keys: DataFrame | None) -> DataFrame:
    """Keep the rows of ``keys``, which ``keys_of`` gave; all with None."""
    if keys is None:
        return frame
    names = {field.name: f"__touched_{place}" for place, field in enumerate(view.join_keys)}
    wanted = keys.select(*(F.col(quote(name)).alias(own) for name, own in names.items()))
    condition = [_key(view, frame, field) == F.col(names[field.name]) for field in view.join_keys]
    return frame.join(wanted, reduce(and_, condition), "left_semi")


def _key(view: StoredViewNode, frame: DataFrame, field: FieldNode) -> Column:
    found = next(one.dataType for one in frame.schema if one.name.lower() == field.name.lower())
    what = f"view {view.name!r}, column {field.name!r}"
    return checked_cast(F.col(quote(field.name)), found, spark_type(field.dtype), what=what)


def unique(view: ViewNode, rows: DataFrame) -> DataFrame:
    """Keep one row for each (key, event time, created time): the greatest by its features, in their order."""
    identity = [quote(field.name) for field in (*view.join_keys, *_TIMES)]
    features = F.struct(*(F.col(quote(feature.name)) for feature in view.features))
    order = F.struct(*(order_key(F.col(quote(f.name)), f.dtype).alias(f.name) for f in view.features))
    picked = rows.groupBy(*identity).agg(F.max_by(features, order).alias("__picked"))
    return picked.select(*identity, "__picked.*")
