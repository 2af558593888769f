"""Feature views: batch, stream and on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from featurestore.spec.aggregation import Aggregation
from featurestore.spec.entity import Entity, Field
from featurestore.spec.expectation import Expectation
from featurestore.spec.selection import FeatureSelection, Selectable
from featurestore.spec.source import KafkaSource, RequestSource, Source

__all__ = [
    "BatchFeatureView",
    "FeatureView",
    "OnDemandFeatureView",
    "OnDemandInput",
    "Schedule",
    "StreamFeatureView",
    "ViewInput",
    "batch_feature_view",
    "on_demand_feature_view",
]

Schedule: TypeAlias = str | timedelta
"""A cron expression in UTC, ``@hourly``, ``@daily``, ``@weekly``, or a timedelta anchored at the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchFeatureView(Selectable):
    """Features computed by Spark into Delta, and from there into Redis.

    These say how rows come about: ``aggregations`` (windows over the source), ``sql`` (with ``{source_name}``
    placeholders) or ``function`` (PySpark DataFrames in and out; see ``batch_feature_view``), or none of them: the
    source's columns named by ``schema`` are taken as they are. ``aggregations`` beside ``sql`` or ``function`` go over
    the rows that it makes, row by row, of rows at most ``lookback`` older; ``schema`` then names their columns.

    ``per="step"`` (default) runs an ``sql`` or ``function`` view once for each step over ``[step_end - lookback,
    step_end)`` of its event sources. ``"row"`` declares that it maps rows, each with its own event time: it sees the
    rows of a run's interval, or with ``lookback``, for each step, those of ``[step_start - lookback, step_end)``; of
    what it gives the rows inside the step are kept.
    """

    name: str
    entities: Sequence[Entity]
    source: ViewInput | None = None
    sources: Sequence[ViewInput] = ()
    schema: Sequence[Field] = ()
    aggregations: Sequence[Aggregation] = ()
    sql: str | None = None
    function: Callable[..., Any] | None = None
    per: str = "step"
    lookback: timedelta | None = None
    start: datetime | None = None
    schedule: Schedule | None = None
    ttl: timedelta | None = None
    online: bool = True
    late_data: timedelta = timedelta(0)
    data_delay: timedelta = timedelta(0)
    on_expired: str = "null"
    freshness: timedelta | None = None
    expectations: Sequence[Expectation] = ()
    engine: str = "spark"
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


FeatureView = BatchFeatureView


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamFeatureView(Selectable):
    """Aggregations kept up by a Structured Streaming query on ``source``; batch steps remain the truth."""

    name: str
    entities: Sequence[Entity]
    source: KafkaSource
    aggregations: Sequence[Aggregation]
    start: datetime | None = None
    schedule: Schedule | None = None
    ttl: timedelta | None = None
    online: bool = True
    expectations: Sequence[Expectation] = ()
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnDemandFeatureView(Selectable):
    """Features computed from other features and request values when they are read, or when they are written.

    ``function`` takes one mapping of input name to array (``mode="numpy"``), one pandas frame (``"pandas"``) or one
    mapping of input name to value (``"python"``), and gives the same for the columns of ``schema``. It maps each row by
    itself.

    With ``write_to_online_store`` a write to a source view computes the features too and stores them, by the join keys
    of all source views; ``entities`` names them where there is more to the key, or no source view.
    """

    name: str
    sources: Sequence[OnDemandInput]
    schema: Sequence[Field]
    function: Callable[..., Any]
    entities: Sequence[Entity] = ()
    mode: str = "numpy"
    write_to_online_store: bool = False
    engine: str = "on_demand"
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


ViewInput: TypeAlias = Source | BatchFeatureView | StreamFeatureView | FeatureSelection
OnDemandInput: TypeAlias = BatchFeatureView | StreamFeatureView | FeatureSelection | RequestSource


def batch_feature_view(
    *,
    entities: Sequence[Entity],
    sources: Sequence[ViewInput],
    schema: Sequence[Field],
    name: str | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], BatchFeatureView]:
    """Make a view of a PySpark function: source DataFrames in the order of ``sources``, one DataFrame out.

    The frame has the join keys, the timestamp column and the columns of ``schema``. The view is named like the
    function unless ``name`` says otherwise; ``options`` are those of ``BatchFeatureView``.
    """

    def make(function: Callable[..., Any]) -> BatchFeatureView:
        return BatchFeatureView(
            name=name or function.__name__,
            entities=entities,
            sources=tuple(sources),
            schema=tuple(schema),
            function=function,
            **{"description": (function.__doc__ or "").strip().partition("\n")[0], **options},
        )

    return make


def on_demand_feature_view(
    *, sources: Sequence[OnDemandInput], schema: Sequence[Field], name: str | None = None, **options: Any
) -> Callable[[Callable[..., Any]], OnDemandFeatureView]:
    """Make an on-demand view of a function; named like the function unless ``name`` says otherwise."""

    def make(function: Callable[..., Any]) -> OnDemandFeatureView:
        return OnDemandFeatureView(
            name=name or function.__name__,
            sources=tuple(sources),
            schema=tuple(schema),
            function=function,
            **{"description": (function.__doc__ or "").strip().partition("\n")[0], **options},
        )

    return make
