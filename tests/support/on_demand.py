"""A project with on-demand views that are written, their functions, and what they should give."""

from __future__ import annotations

from typing import Any

from featurestore.ir.nodes import CodeRef, FeatureRef, FieldNode, OnDemandViewNode, ViewNode
from featurestore.spec.dtypes import Float64, Int64
from tests.support.nodes import plain_view
from tests.support.serving import World, field, ref

__all__ = ["CALLS", "USER", "amounts", "limits", "mix", "written_node", "written_world"]

USER = FieldNode(name="user_id", dtype=Int64)
CALLS: list[int] = []
"""The number of rows of every call of a function."""


def mix(inputs: dict[str, Any]) -> dict[str, Any]:
    """Tell its inputs in one number, so that a value shows what it was computed from; NaN where one is null."""
    CALLS.append(len(inputs["amount"]))
    return {"mixed": inputs["amount"] * 1000.0 + inputs["limit"] + inputs.get("shift", 0.0)}


def mix_pandas(frame: Any) -> Any:
    CALLS.append(len(frame))
    return frame.assign(mixed=frame["amount"] * 1000.0 + frame["limit"])[["mixed"]]


def mix_python(row: dict[str, Any]) -> dict[str, Any]:
    CALLS.append(1)
    known = row["amount"] is not None and row["limit"] is not None
    return {"mixed": row["amount"] * 1000.0 + row["limit"] if known else None}


def failing(inputs: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("no amounts")


def amounts(**overrides: Any) -> ViewNode:
    values: dict[str, Any] = {"name": "amounts", "features": (field("amount"),), "version": 1, "storage_id": 1}
    return plain_view(**(values | overrides))


def limits(**overrides: Any) -> ViewNode:
    values: dict[str, Any] = {"name": "limits", "features": (field("limit"),), "version": 1, "storage_id": 2}
    return plain_view(**(values | overrides))


def written_node(name: str = "mixes", **overrides: Any) -> OnDemandViewNode:
    """Read both views; ``request=`` adds fields such as ``shift``."""
    inputs: tuple[FeatureRef, ...] = (ref("amounts", "amount"), ref("limits", "limit"))
    values: dict[str, Any] = {
        "name": name,
        "inputs": inputs,
        "request": (),
        "features": (FieldNode(name="mixed", dtype=Float64),),
        "code": CodeRef(path="tests.support.on_demand:mix", digest=""),
        "mode": "numpy",
        "write_to_online_store": True,
        "join_keys": (USER,),
        "version": 1,
        "storage_id": 9,
    }
    return OnDemandViewNode(**(values | overrides))


def written_world(*nodes: OnDemandViewNode, views: tuple[ViewNode, ...] = (), **manifest: Any) -> World:
    nodes = nodes or (written_node(),)
    return World(*(views or (amounts(), limits())), on_demand_views={node.name: node for node in nodes}, **manifest)
