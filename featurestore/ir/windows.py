"""What an aggregate view's functions and windows say about how long its rows hold."""

from __future__ import annotations

from datetime import timedelta

from featurestore.ir.nodes import Aggregations, ViewNode
from featurestore.spec.aggregation import AggregationFunction

__all__ = ["emptied_expiry", "holding_counts"]

_COUNTS = frozenset(
    {AggregationFunction.COUNT, AggregationFunction.COUNT_DISTINCT, AggregationFunction.APPROX_COUNT_DISTINCT}
)


def holding_counts(view: ViewNode) -> frozenset[str]:
    """Name the features that are 0 when all windows of a key are empty; the others are null then.

    A row that is emptied by this judgement does not hold until the key's next row.
    """
    if not isinstance(view.transformation, Aggregations):
        return frozenset()
    return frozenset(item.name for item in view.transformation.items if item.function in _COUNTS)


def emptied_expiry(view: ViewNode) -> timedelta | None:
    """How long an emptied row lives: the view's ttl, else its longest window; None is for ever."""
    return view.ttl or view.longest_window
