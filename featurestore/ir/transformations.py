"""Nodes of what turns the rows of a view's inputs into its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from featurestore.ir.models import CodeRef
from featurestore.ir.sources import FieldNode
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import DType

__all__ = [
    "AggregationNode",
    "Aggregations",
    "EventQuery",
    "FunctionTransformation",
    "Passthrough",
    "SqlTransformation",
    "Transformation",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passthrough:
    """The source's rows as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTransformation:
    text: str
    per: Literal["row", "step"]
    lookback: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTransformation:
    code: CodeRef
    per: Literal["row", "step"]
    lookback: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationNode:
    """``column`` is None only for a count of rows; ``window`` None is the whole lifetime; ``dtype`` is the output's."""

    name: str
    function: AggregationFunction
    column: str | None
    window: timedelta | None
    where: str | None = None
    k: int | None = None
    percentile: float | None = None
    limit: int | None = None
    dtype: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """What makes events of a view's inputs, row by row: join keys, a time, and ``columns``.

    A row with time t depends on input rows of ``[t - lookback, t]`` alone, so that each run may read its own part.
    """

    transformation: SqlTransformation | FunctionTransformation
    columns: tuple[FieldNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregations:
    """Windows over the rows of the only input, or over those that ``events`` makes of all inputs."""

    items: tuple[AggregationNode, ...]
    events: EventQuery | None = None


Transformation: TypeAlias = Passthrough | SqlTransformation | FunctionTransformation | Aggregations
