"""Does a value that an engine computed agree with the oracle's?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from featurestore.engines.reference.events import Key
from featurestore.engines.reference.feature_rows import FeatureRow
from featurestore.engines.reference.lookup import point_in_time
from featurestore.engines.reference.values import same
from featurestore.intervals import Coverage
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, IS_DELETED
from featurestore.ir.nodes import Aggregations, ViewNode
from featurestore.spec.aggregation import AggregationFunction as Function
from featurestore.spec.dtypes import Map

__all__ = ["answers_of", "differences", "disagreements", "feature_rows_of"]

_FOLDED = (Function.SUM, Function.MEAN, Function.VAR_POP, Function.VAR_SAMP, Function.STDDEV_POP, Function.STDDEV_SAMP)


def feature_rows_of(view: ViewNode, rows: Iterable[Mapping[str, Any]]) -> list[FeatureRow]:
    """Read the rows of a view's table, as Arrow gives them."""
    maps = {feature.name for feature in view.features if isinstance(feature.dtype, Map)}
    return [
        FeatureRow(
            key=tuple(row[key.name] for key in view.join_keys),
            event_timestamp=row[EVENT_TIMESTAMP],
            created_timestamp=row[CREATED_TIMESTAMP],
            is_deleted=row[IS_DELETED],
            values=tuple(
                dict(row[feature.name]) if feature.name in maps and row[feature.name] is not None else row[feature.name]
                for feature in view.features
            ),
        )
        for row in rows
    ]


def answers_of(
    view: ViewNode,
    rows: Iterable[FeatureRow],
    spine: Sequence[tuple[Key, datetime]],
    coverage: Coverage,
    **options: Any,
) -> list[tuple[Any, ...]]:
    """Ask the oracle, each key among its own rows."""
    by_key: dict[Key, list[FeatureRow]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    return [
        point_in_time([(key, instant)], by_key.get(key, []), view, coverage, **options)[0] for key, instant in spine
    ]


def disagreements(
    view: ViewNode,
    spine: Sequence[tuple[Key, datetime]],
    expected: Sequence[tuple[Any, ...]],
    found: Sequence[tuple[Any, ...]],
) -> list[tuple[Any, ...]]:
    """Name (feature, key, instant, expected, found) wherever two series of answers differ.

    ``found`` may have only the view's first features. Floats that are sums of others agree to 1e-12 relative,
    everything else exactly, by bits.
    """
    folded = set()
    if isinstance(view.transformation, Aggregations):
        folded = {item.name for item in view.transformation.items if item.function in _FOLDED}
    assert len(expected) == len(found) == len(spine)
    return [
        (feature.name, *asked, wanted[number], given[number])
        for asked, wanted, given in zip(spine, expected, found, strict=True)
        for number, feature in enumerate(view.features[: len(given)])
        if not _agree(wanted[number], given[number], is_folded=feature.name in folded)
    ]


def _agree(expected: Any, found: Any, *, is_folded: bool) -> bool:
    if is_folded and isinstance(expected, float) and isinstance(found, float) and math.isfinite(expected):
        return math.isclose(expected, found, rel_tol=1e-12, abs_tol=1e-9)
    return same(expected, found)


def differences(view: ViewNode, expected: Sequence[FeatureRow], found: Sequence[FeatureRow]) -> list[Any]:
    """Name the rows that only one side has, then the values that differ."""
    wanted, given = ({(row.key, row.event_timestamp): row.values for row in rows} for rows in (expected, found))
    assert len(given) == len(found), "one row for each key and instant"
    spine = sorted(wanted.keys() & given.keys(), key=repr)
    alone = sorted(wanted.keys() ^ given.keys(), key=repr)
    values = disagreements(view, spine, [wanted[at] for at in spine], [given[at] for at in spine])
    return [*alone, *values][:3]
