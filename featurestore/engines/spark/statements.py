"""A view's rows as statements: from which instant each counts, and until when it may be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from featurestore.engines.spark.schema import order_key
from featurestore.engines.spark.step_ends import step_end
from featurestore.intervals import Coverage
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_TIMESTAMP, IS_DELETED, stored_features
from featurestore.ir.ddl import quote
from featurestore.ir.inputs import key_columns
from featurestore.ir.nodes import (
    FunctionTransformation,
    PredictionViewNode,
    SqlTransformation,
    StoredViewNode,
    ViewNode,
)
from featurestore.ir.windows import emptied_expiry, holding_counts

__all__ = ["PUBLISHED_AT", "Availability", "HistoricalLookup", "Statements", "statements"]

Availability: TypeAlias = Literal["event", "scheduled", "actual"]
"""From when a value counts: its event time; the end of its step plus the view's data_delay; its publication."""

PUBLISHED_AT = "published_at"
"""The column that ``availability="actual"`` reads; null means never published."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalLookup:
    """One view to look up. ``features`` are (feature, output column).

    ``rows`` has all rows of the view's table, or at least keys, event_timestamp, created_timestamp, is_deleted and the
    stored features. ``header`` names an output column for the row that was found, expired or not: a struct of
    ``event_timestamp`` and ``created_timestamp``, null where there is none. ``serve_expired`` gives out values past
    their ttl, as a view with ``on_expired="serve"`` does online.
    """

    view: StoredViewNode
    rows: DataFrame
    features: tuple[tuple[str, str], ...]
    join_key_map: tuple[tuple[str, str], ...] = ()
    coverage: Coverage = field(default=Coverage())
    created_before_event: bool = False
    availability: Availability = "event"
    header: str | None = None
    serve_expired: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The spine's columns that carry the keys."""
        return key_columns(self.view, self.join_key_map)

    @property
    def is_revisable(self) -> bool:
        """Say whether the answer for an instant depends on which statements had been made by then."""
        return self.created_before_event or self.availability == "actual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """``frame`` has the keys ``k0…``, ``at`` (from when the row counts) and ``row``, a struct of:

    ``event``, ``created`` and ``header_event``; ``expires`` (the last instant at which it may be used, null for ever);
    ``until`` (when a newer statement about the same event time replaces it, null for never) and ``revised`` (the key
    has deletions, so ``until`` matters), both only for revisable lookups; and the features ``f0…``.
    """

    frame: DataFrame
    keys: tuple[str, ...]


def statements(lookup: HistoricalLookup) -> Statements:
    """Prepare a view's rows for as-of lookups: one row for each statement that can ever be the answer."""
    keys = tuple(f"k{number}" for number in range(len(lookup.view.join_keys)))
    columns = [F.col(quote(key.name)).alias(name) for name, key in zip(keys, lookup.view.join_keys, strict=True)]
    event, created = F.col(EVENT_TIMESTAMP), F.col(CREATED_TIMESTAMP)
    # New names first, what is computed from the named columns last: the optimizer derives its constraints in this
    # order, and a new name for a column of an expression before it doubles that expression: 2^27 at 27 features.
    rows = lookup.rows.select(
        *columns,
        event.alias("event"),
        created.alias("created"),
        F.col(IS_DELETED).alias("deleted"),
        *(F.col(quote(feature)).alias(f"f{number}") for number, (feature, _) in enumerate(lookup.features)),
        _counts_from(lookup).alias("at"),
        _header_event(lookup.view).alias("header_event"),
        _expires(lookup).alias("expires"),
        F.struct(*(_order(lookup.view, name) for name in _names(lookup.view))).alias("value"),
    )
    rows = rows.dropna(subset=[*keys, "at"])
    by_time = Window.partitionBy(*keys).orderBy("event", "created", "deleted", "value")
    following = F.lead(F.struct("event", "created", "at")).over(by_time)
    rows = rows.withColumn("following", following)
    is_restated = F.coalesce(F.col("following.event") == F.col("event"), F.lit(False))
    carried = ["event", "created", "header_event", "expires"]
    if lookup.is_revisable:
        is_tied = is_restated & (F.col("following.created") == F.col("created"))
        rows = rows.withColumn("until", F.when(is_restated, F.col("following.at")))
        rows = rows.withColumn("revised", F.max("deleted").over(Window.partitionBy(*keys)))
        rows = rows.where(~is_tied & ~F.col("deleted"))
        carried += ["until", "revised"]
    else:
        rows = rows.where(~is_restated & ~F.col("deleted"))
    features = [f"f{number}" for number in range(len(lookup.features))]
    return Statements(frame=rows.select(*keys, "at", F.struct(*carried, *features).alias("row")), keys=keys)


def _names(view: StoredViewNode) -> Sequence[str]:
    return [feature.name for feature in stored_features(view)]


def _order(view: StoredViewNode, name: str) -> Column:
    dtype = next(feature.dtype for feature in stored_features(view) if feature.name == name)
    return order_key(F.col(quote(name)), dtype).alias(name)


def _counts_from(lookup: HistoricalLookup) -> Column:
    event, view = F.col(EVENT_TIMESTAMP), lookup.view
    match lookup.availability:
        case "event":
            counts = event
        case "scheduled":
            counts = _plus(_scheduled(view), view.data_delay)
        case "actual":
            counts = F.col(PUBLISHED_AT)
    return F.greatest(counts, F.col(CREATED_TIMESTAMP)) if lookup.created_before_event else counts


def _scheduled(view: StoredViewNode) -> Column:
    """Give the end of the step that made the row.

    An aggregate's event time is that already, and so is that of a query or function that gives no time of its own:
    such a row was first stated at its event time plus ``data_delay``, one with a time of its own after its step's end.
    """
    event = F.col(EVENT_TIMESTAMP)
    if isinstance(view, PredictionViewNode) or view.is_aggregate or view.schedule is None:
        return event
    end = step_end(event, view.schedule)
    if not isinstance(view.transformation, SqlTransformation | FunctionTransformation):
        return end
    same = Window.partitionBy(*(F.col(quote(key.name)) for key in view.join_keys), EVENT_TIMESTAMP)
    first_stated = F.min(CREATED_TIMESTAMP).over(same)
    return F.when(first_stated == _plus(event, view.data_delay), event).otherwise(end)


def _header_event(view: StoredViewNode) -> Column:
    """Give the time that the row's online stamp has: of a prediction that of its inputs."""
    event = F.col(EVENT_TIMESTAMP)
    return F.coalesce(F.col(INPUTS_TIMESTAMP), event) if isinstance(view, PredictionViewNode) else event


def _expires(lookup: HistoricalLookup) -> Column:
    event, view, never = F.col(EVENT_TIMESTAMP), lookup.view, F.lit(None).cast("timestamp")
    if lookup.serve_expired:
        return never
    if isinstance(view, PredictionViewNode):  # each done scoring step renews the age of what it leaves as it is
        return _plus(_held_until(event, lookup.coverage), view.max_age) if view.max_age else never
    if not view.is_aggregate:
        return _plus(event, view.ttl) if view.ttl else never
    life = emptied_expiry(view)
    held = _plus(_held_until(event, lookup.coverage), view.ttl) if view.ttl else never
    return F.when(_is_emptied(view), _plus(event, life) if life else never).otherwise(held)


def _held_until(event: Column, coverage: Coverage) -> Column:
    """Give the end of the covered stretch ``(start, end]`` in which the step end ``event`` lies, or itself outside."""
    held = event
    for stretch in coverage:
        held = F.when(event > F.lit(stretch.start), F.greatest(event, F.lit(stretch.end))).otherwise(held)
    return held


def _is_emptied(view: ViewNode) -> Column:
    counts = holding_counts(view)
    emptied = F.lit(True)
    for feature in view.features:
        column = F.col(quote(feature.name))
        gone = column.eqNullSafe(F.lit(0)) if feature.name in counts else column.isNull()
        emptied = emptied & gone
    return emptied


def _plus(instant: Column, duration: timedelta) -> Column:
    return F.timestamp_micros(F.unix_micros(instant) + F.lit(duration // _MICROSECOND)) if duration else instant
