"""Views share tiles iff the tiles have the same rows behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from featurestore.ir.fingerprint import DATA_FIELDS
from featurestore.ir.nodes import AggregationNode, DeltaSourceNode, FieldNode, FileSourceNode
from featurestore.ir.tiles import input_name, tile_location
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Float64, Int64, String, Timestamp
from featurestore.spec.source import Watermark
from tests.support.nodes import aggregate_view, clicks

COLUMNS = tuple(
    FieldNode(name=name, dtype=dtype)
    for name, dtype in (("user_id", Int64), ("clicked", Int64), ("page", String), ("ts", Timestamp), ("at", Timestamp))
)
DELTA = clicks(schema=COLUMNS)
FILE = FileSourceNode(name="clicks", path="data/clicks", format="csv", timestamp_field="ts", schema=COLUMNS)
ITEM = AggregationNode(
    name="f",
    function=AggregationFunction.SUM,
    column="clicked",
    window=timedelta(days=1),
    dtype=Int64,
    where="page = 'a'",
)
APART: Mapping[str, Any] = {
    "path": "data/others",
    "format": "json",
    "table": "shop.clicks",
    "query": "SELECT * FROM {table} WHERE clicked > 0",
    "timestamp_field": "at",
    "created_timestamp_column": "at",
}
"""Another value for each field that says which rows a source has."""


def identity(source: FileSourceNode | DeltaSourceNode, item: AggregationNode = ITEM, **view: Any) -> tuple[str, str]:
    return tile_location(aggregate_view(**view), source), input_name(item, source)


@pytest.mark.parametrize("source", [DELTA, FILE], ids=["delta", "file"])
def test_every_field_that_says_which_rows_there_are_makes_another_table(
    source: FileSourceNode | DeltaSourceNode,
) -> None:
    data = set(DATA_FIELDS[type(source)]) - {"schema", "field_mapping"}
    assert data <= APART.keys(), "say here what another value of the new field is"
    for name in data:
        assert identity(replace(source, **{name: APART[name]}))[0] != identity(source)[0], name


@pytest.mark.parametrize("source", [DELTA, FILE], ids=["delta", "file"])
def test_what_is_read_by_other_names_or_types_is_something_else(source: FileSourceNode | DeltaSourceNode) -> None:
    location, name = identity(source)
    for column, of_table in (("user_id", True), ("ts", True), ("clicked", False), ("page", False)):
        found = identity(replace(source, field_mapping=(("raw", column),)))
        assert (found[0] != location, found[1] != name) == (of_table, not of_table), column
    wider = tuple(replace(c, dtype=Float64) if c.name == "clicked" else c for c in COLUMNS)
    assert identity(replace(source, schema=wider)) == (location, input_name(ITEM, replace(source, schema=wider)))
    assert identity(replace(source, schema=wider))[1] != name


def test_what_does_not_touch_the_rows_makes_no_other_tiles() -> None:
    others: dict[str, Any] = {"ready": Watermark(), "schema": (*COLUMNS, FieldNode(name="more", dtype=Int64))}
    assert {field.name for field in fields(DELTA)} >= others.keys()
    assert identity(replace(DELTA, **others)) == identity(DELTA)
    longer = replace(ITEM, name="g", window=None, function=AggregationFunction.MEAN)
    assert identity(DELTA, longer, name="others", fingerprint="x") == identity(DELTA)


def test_keys_and_predicates_tell_tiles_apart() -> None:
    assert identity(DELTA, join_keys=COLUMNS[2:3])[0] != identity(DELTA)[0]
    both = identity(DELTA, join_keys=(COLUMNS[0], COLUMNS[2]))
    assert both == identity(DELTA, join_keys=(COLUMNS[2], COLUMNS[0]))
    assert len({input_name(item, DELTA) for item in (ITEM, replace(ITEM, where=None), replace(ITEM, column=None))}) == 3
