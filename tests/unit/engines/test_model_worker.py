"""What scoring does in a worker: who is left out, and how many rows the model is called on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.codec.digest import inputs_digest
from featurestore.engines.spark import model_worker
from featurestore.engines.spark.model_worker import BatchPredictor, HeaderColumns, StoredColumn
from featurestore.ir.nodes import CodeRef, ModelNode
from featurestore.spec.dtypes import Float64
from tests.support import serving_functions
from tests.support.nodes import prediction_view

EVENT = 1_000_000
VIEW = prediction_view(
    model=ModelNode(name="m", version="1", load=CodeRef(path="tests.support.serving_functions:load", digest=""))
)


def predictor(**overrides: Any) -> BatchPredictor:
    values: dict[str, Any] = {
        "view": VIEW,
        "on_demand": {},
        "stored": {VIEW.inputs[0]: StoredColumn(column="total", dtype=Float64)},
        "headers": (HeaderColumns(event="event0", created="created0", lapsed="lapsed0"),),
        "event_us": EVENT,
        "created_us": EVENT + 1,
        "compares": True,
    }
    return BatchPredictor(**(values | overrides))


def digest(event: int | None) -> int:
    present, times = np.array([event is not None]), np.array([event or 0])
    return int(inputs_digest([(present, times, times)])[0])


def batch(*rows: tuple[int, int | None, int | None, int | None, bool | None]) -> pa.RecordBatch:
    """Make a batch of (key, input's event, standing digest, standing event, lapsed)."""
    keys, events, digests, standing, lapsed = zip(*rows, strict=True)
    return pa.record_batch(
        {
            "user_id": pa.array(keys, pa.int64()),
            "total": pa.array([float(key) for key in keys]),
            "event0": pa.array(events, pa.int64()),
            "created0": pa.array(events, pa.int64()),
            "lapsed0": pa.array(lapsed, pa.bool_()),
            "standing_digest": pa.array(digests, pa.int64()),
            "standing_event": pa.array(standing, pa.int64()),
        }
    )


def unchanged(key: int) -> tuple[int, int, int, int, bool]:
    return key, 5, digest(5), EVENT - 1, False


def keys_of(batches: Any) -> list[list[int]]:
    return [part.column("user_id").to_pylist() for part in batches]


def test_entities_with_changed_inputs_are_predicted_and_others_left_out() -> None:
    rows = [
        unchanged(1),
        (2, 6, digest(5), EVENT - 1, False),
        (3, 5, None, None, False),
        (4, 5, digest(5), EVENT, False),
        (5, 5, digest(5), EVENT - 1, True),
        (6, None, digest(None), EVENT - 1, None),
        (7, None, digest(5), EVENT - 1, None),
    ]
    assert keys_of(predictor()([batch(*rows)])) == [[2, 3, 4, 5, 7]]
    assert keys_of(predictor(compares=False)([batch(*rows)])) == [[1, 2, 3, 4, 5, 6, 7]]


def test_an_unchanged_batch_calls_no_model() -> None:
    serving_functions.CALLS.clear()
    assert list(predictor()([batch(unchanged(1), unchanged(2)), batch(unchanged(3))])) == []
    assert serving_functions.CALLS == []


def test_what_is_left_of_several_batches_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_worker, "CALL_ROWS", 3)
    serving_functions.CALLS.clear()
    new = [batch((key, 6, None, None, False), unchanged(key + 100)) for key in range(5)]
    found = list(predictor()(new))
    assert keys_of(found) == [[0, 1, 2], [3, 4]]
    assert [len(call["total"]) for call in serving_functions.CALLS] == [3, 2]
    assert found[1].column("score").to_pylist() == [30.0, 40.0]
    assert found[1].column("inputs_digest").to_pylist() == [digest(6)] * 2
