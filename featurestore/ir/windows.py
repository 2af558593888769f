"""What a view's functions, windows and lookback say: how long its rows hold, and how far back a step reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from featurestore.intervals import EPOCH, Interval
from featurestore.ir.nodes import Aggregations, StoredViewNode, ViewNode
from featurestore.spec.aggregation import AggregationFunction

__all__ = ["emptied_expiry", "holding_counts", "looks_back_to"]

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


def looks_back_to(view: StoredViewNode, step: Interval) -> datetime:
    """Give the earliest event time that a step reads; its own start where it looks no further back.

    ``lookback`` counts from the end of the step where code runs once for it, from its start where it maps rows.
    """
    if not isinstance(view, ViewNode):
        return step.start
    code = view.user_code
    lookback = (code.lookback if code is not None else None) or timedelta(0)
    if not view.is_aggregate:
        anchor = step.end if code is not None and code.per == "step" else step.start
        return min(step.start, anchor - lookback)
    longest = view.longest_window
    return EPOCH if longest is None else step.start - longest - lookback
