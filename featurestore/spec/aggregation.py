"""Windowed aggregations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from featurestore.spec.dtypes import DType

__all__ = ["Aggregation", "AggregationFunction"]


class AggregationFunction(StrEnum):
    """The functions; null inputs are skipped by all of them.

    ``count`` without a column counts rows. Variances over fewer rows than they need are null.
    """

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    VAR_POP = "var_pop"
    VAR_SAMP = "var_samp"
    STDDEV_POP = "stddev_pop"
    STDDEV_SAMP = "stddev_samp"
    FIRST = "first"
    LAST = "last"
    FIRST_K = "first_k"
    LAST_K = "last_k"
    COUNT_DISTINCT = "count_distinct"
    APPROX_COUNT_DISTINCT = "approx_count_distinct"
    APPROX_PERCENTILE = "approx_percentile"
    TOP_K = "top_k"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """``function`` of ``column`` over the rows with ``step_end - window <= timestamp < step_end``.

    ``window=None`` means the whole lifetime. ``where`` is an SQL predicate on the source's columns. The feature's
    name defaults to ``<column>_<function>_<window>``, such as ``clicked_sum_7d``.
    """

    function: str
    column: str | None = None
    window: timedelta | None = None
    name: str | None = None
    where: str | None = None
    k: int | None = None
    percentile: float | None = None
    limit: int | None = None
    dtype: DType | None = None
    description: str = ""
