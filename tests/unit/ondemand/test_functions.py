"""User functions on arrays: every mode, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal
from typing import Any

import numpy as np
import pytest

from featurestore.errors import OnDemandFailed
from featurestore.ir.nodes import CodeRef, OnDemandViewNode
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input, python_values, read_column
from featurestore.ondemand.functions import CodeNotFound, apply_on_demand, resolve, run_on_demand
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Timestamp,
)
from tests.support.serving import NOW, World, flags, recency

FUNCTIONS = "tests.support.serving_functions"


def view_of(function: str, **overrides: Any) -> OnDemandViewNode:
    return recency(code=CodeRef(path=f"{FUNCTIONS}:{function}", digest=""), **overrides)


def inputs() -> dict[str, Column]:
    return {
        "now": read_column(Timestamp, [NOW, NOW]),
        "last_seen": read_column(Timestamp, [NOW - timedelta(seconds=90, microseconds=1), None]),
        "visits": read_column(Int64, [3, None]),
    }


@pytest.mark.parametrize("mode", ["numpy", "pandas", "python"])
def test_the_three_modes_agree(mode: Any) -> None:
    outputs = run_on_demand(view_of(f"recency_{mode}", mode=mode), inputs())
    assert {name: python_values(column) for name, column in outputs.items()} == {
        "seconds_since": [90.000001, None],
        "visits_doubled": [6, None],
    }


@pytest.mark.parametrize("mode", ["numpy", "pandas", "python"])
def test_a_lookup_computes_on_demand_features(mode: Any) -> None:
    stored = flags()
    world = World(stored, on_demand_views={"recency": view_of(f"recency_{mode}", mode=mode)})
    world.put(stored, 1, {"last_seen": NOW - timedelta(seconds=5), "visits": 2}, event=NOW - timedelta(hours=1))
    rows = [{"user_id": 1, "now": NOW}, {"user_id": 2, "now": NOW}]
    response = world.client.get_online_features(["recency:seconds_since", "recency:visits_doubled"], rows)
    assert response.to_dict() == {"user_id": [1, 2], "seconds_since": [5.0, None], "visits_doubled": [4, None]}
    assert response.statuses["visits_doubled"] == ["PRESENT", "NULL_VALUE"]
    assert response.event_timestamps["visits_doubled"] == [NOW - timedelta(hours=1), None]


def test_arrays_go_in_and_come_out_masked_where_null() -> None:
    columns = {name: function_input(column) for name, column in inputs().items()}
    assert columns["visits"].dtype == np.float64
    outputs = apply_on_demand(view_of("recency_numpy"), columns)
    assert np.ma.getmaskarray(outputs["visits_doubled"]).tolist() == [False, True]
    assert outputs["visits_doubled"].dtype == np.int64


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong_names", r"gave the outputs \['seconds'\]; valid are \['seconds_since', 'visits_doubled'\]"),
        ("wrong_type", r"output 'seconds_since': found 'soon' \(str\) in row 0; valid is float64"),
        ("wrong_length", "output 'seconds_since': found 1 values; valid is one for each of the 2 rows"),
        ("raising", "raised ZeroDivisionError: no visits"),
        ("absent", "has no 'absent'"),
    ],
)
def test_a_wrong_answer_names_view_function_and_output(function: str, message: str) -> None:
    with pytest.raises(OnDemandFailed, match=message) as caught:
        run_on_demand(view_of(function), inputs())
    assert f"{FUNCTIONS}:{function}" in str(caught.value)


@pytest.mark.parametrize("path", ["no_such_module:f", f"{FUNCTIONS}:CALLS", "tests", ":f"])
def test_a_path_that_names_no_function_is_an_error(path: str) -> None:
    with pytest.raises(CodeNotFound):
        resolve(path)


def test_nan_from_known_inputs_stays_nan() -> None:
    view = view_of("recency_python", mode="python", inputs=(), features=replace(recency()).features[:1])
    view = replace(view, code=CodeRef(path=f"{__name__}:not_a_number", digest=""))
    values, valid = run_on_demand(view, {"now": read_column(Timestamp, [NOW])})["seconds_since"]
    assert np.isnan(values[0])
    assert valid is None


def not_a_number(row: dict[str, Any]) -> dict[str, Any]:
    return {"seconds_since": float("nan")}


@pytest.mark.parametrize(
    ("dtype", "found", "expected"),
    [
        (Int64, [1, None, 2.0, "3"], [1, None, 2, 3]),
        (Int64, np.array([1.0, np.nan]), [1, None]),
        (Int32, np.array([1, 2], dtype=np.int64), [1, 2]),
        (Float32, [1, None], [1.0, None]),
        (Float64, np.array([1, 2]), [1.0, 2.0]),
        (Bool, [True, None], [True, None]),
        (String, ["", None], ["", None]),
        (Bytes, [b"", bytearray(b"a")], [b"", b"a"]),
        (Timestamp, [NOW, "2026-03-01T12:00", None, NOW.replace(tzinfo=None)], [NOW, NOW, None, NOW]),
        (Timestamp, np.array(["2026-03-01T12:00:00.000001234", "NaT"], "M8[ns]"), [NOW.replace(microsecond=1), None]),
        (Date, [date(2026, 3, 1), "2026-03-02", None], [date(2026, 3, 1), date(2026, 3, 2), None]),
        (Decimal(5, 2), ["1.50", 2, None], [PyDecimal("1.50"), PyDecimal(2), None]),
        (Array(Int64), [[1, None], (), None], [[1, None], [], None]),
        (Map(String, Int64), [{"a": 1}, {}, None], [{"a": 1}, {}, None]),
        (Json, ['{"a": 1}', None], ['{"a": 1}', None]),
    ],
)
def test_columns_are_read_without_loss(dtype: DType, found: Any, expected: list[Any]) -> None:
    assert python_values(read_column(dtype, found)) == expected


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        (Int64, [1.5]),
        (Int64, [True]),
        (Int64, np.array([1.5])),
        (Int64, np.array([2.0**63])),
        (Int32, np.array([2**31])),
        (Int32, [2**31]),
        (Float64, ["much"]),
        (Float64, [True]),
        (Bool, [1]),
        (String, [1]),
        (Bytes, ["a"]),
        (Timestamp, [1_700_000_000]),
        (Date, [datetime(2026, 3, 1, tzinfo=UTC)]),
        (Decimal(5, 2), [1.5]),
        (Array(Int64), ["12"]),
        (Float64, np.zeros((2, 2))),
        (Float64, 1.0),
    ],
)
def test_a_value_of_another_type_is_refused(dtype: DType, found: Any) -> None:
    with pytest.raises(ValueMismatch):
        read_column(dtype, found)
