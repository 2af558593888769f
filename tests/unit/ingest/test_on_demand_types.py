"""Values of every type go through a function, a stored row and a lookup as they are, by whichever way they came."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any

import pytest

from featurestore.ir.nodes import CodeRef, FieldNode
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
from tests.support.on_demand import USER, amounts, written_node, written_world
from tests.support.serving import ref
from tests.support.writing import writer_on

VALUES: list[tuple[DType, Any]] = [
    (Int32, -(2**31)),
    (Int64, 2**63 - 1),
    (Float32, 0.5),
    (Float64, 0.1),
    (Bool, False),
    (String, ""),
    (Bytes, b"\0\xff"),
    (Timestamp, datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    (Date, date(1969, 12, 31)),
    (Json, '{"a": [1]}'),
    (Decimal(10, 2), PyDecimal("12.30")),
    (Array(String), ["a", ""]),
    (Array(Array(Int64)), [[1], []]),
    (Map(String, Int64), {"a": 1, "b": 2}),
]


def echo(row: dict[str, Any]) -> dict[str, Any]:
    return {"out": row["value"]}


@pytest.mark.parametrize(("dtype", "value"), VALUES, ids=[str(dtype) for dtype, _ in VALUES])
@pytest.mark.parametrize("way", ["beside", "direct", "finished", "request"])
def test_a_value_comes_back_as_it_is(dtype: DType, value: Any, way: str) -> None:
    field = FieldNode(name="value", dtype=dtype)
    is_requested = way == "request"
    node = written_node(
        name="echoes",
        inputs=() if is_requested else (ref("amounts", "value"),),
        request=(field,) if is_requested else (),
        features=(FieldNode(name="out", dtype=dtype),),
        code=CodeRef(path="tests.unit.ingest.test_on_demand_types:echo", digest=""),
        mode="python",
        join_keys=(USER,),
    )
    world = written_world(node, views=(amounts(features=(field,)),))
    frame: dict[str, Any] = {"user_id": [1, 2], "value": [value, None]}
    if way == "finished":
        frame["out"] = frame.pop("value")
    target = "amounts" if way == "beside" else "echoes"
    assert writer_on(world).write(target, frame, transform=way != "finished").views["echoes"].written == 2
    answer = world.client.get_online_features(["echoes:out"], {"user_id": [1, 2]})
    assert answer["out"] == [value, None]
    assert [str(status) for status in answer.statuses["out"]] == ["PRESENT", "NULL_VALUE"]
