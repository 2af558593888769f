"""What is published says that a row holds exactly where the oracle does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from featurestore.codec.value import RowCodec
from featurestore.engines.reference.events import events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, aggregate_rows
from featurestore.engines.reference.lookup import holds
from featurestore.intervals import Coverage
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, IS_DELETED, stored_features
from featurestore.ir.nodes import FieldNode, ViewNode
from featurestore.runtime.pairs import PairEncoder
from featurestore.spec.dtypes import Bool, Timestamp
from tests.support.histories import COLUMNS, PREDICATES, SCENES, Scene, generate_histories
from tests.support.rows import make_table

AGGREGATES = {name: scene for name, scene in SCENES.items() if scene.view.is_aggregate}


@pytest.mark.parametrize("scene", AGGREGATES.values(), ids=AGGREGATES)
def test_the_published_flag_agrees(scene: Scene) -> None:
    view = replace(scene.view, storage_id=1)
    nulls = dict.fromkeys(COLUMNS) | {"case": -1, "user": "a", "ts": min(scene.starts)}
    events = events_by_key(view, scene.source, [*generate_histories(scene, 6), nulls])
    rows = [
        row
        for stretch in Coverage.of(scene.runs)
        for row in aggregate_rows(view, events, stretch, first=True, predicates=PREDICATES)
    ]
    (batch,) = make_table(_columns(view), [_as_columns(view, row) for row in rows]).to_batches()
    pairs = PairEncoder(project_id=1, view=view, now_ms=0).encode(batch)
    decoded = RowCodec(stored_features(view)).decode(pairs["value"].to_pylist())
    expected = [holds(view, row) for row in rows]
    assert decoded.holds.tolist() == expected
    assert {True, False} == set(expected)


def _columns(view: ViewNode) -> tuple[FieldNode, ...]:
    times = (FieldNode(name=name, dtype=Timestamp) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP))
    return (*view.join_keys, *times, FieldNode(name=IS_DELETED, dtype=Bool), *view.features)


def _as_columns(view: ViewNode, row: FeatureRow) -> dict[str, Any]:
    return {
        **{key.name: value for key, value in zip(view.join_keys, row.key, strict=True)},
        EVENT_TIMESTAMP: row.event_timestamp,
        CREATED_TIMESTAMP: row.created_timestamp,
        IS_DELETED: row.is_deleted,
        **{feature.name: value for feature, value in zip(view.features, row.values, strict=True)},
    }
