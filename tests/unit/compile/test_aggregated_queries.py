"""Aggregations over what a query makes of several inputs: what is compiled, and which mistakes are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Field, FileSource
from featurestore.errors import DefinitionError
from featurestore.ir.fingerprint import fingerprint
from featurestore.ir.nodes import Aggregations, EventQuery, FieldNode, FunctionTransformation, SqlTransformation
from featurestore.ir.serialize import manifest_from_json, manifest_to_json
from featurestore.runtime.code import code_of
from featurestore.types import Float64, Int64, String, Timestamp
from tests.support.definitions import clicks_source, compile_objects, user_entity, view_definition

DAY = timedelta(days=1)
PLANS = DeltaSource(
    name="plans",
    path="plans",
    schema=[Field(name="page", dtype=String), Field(name="price", dtype=Float64)],
)
TEXT = "SELECT c.user_id, c.event_timestamp, c.clicked, p.price FROM {clicks} c JOIN {plans} p ON c.page = p.page"


def spent(**overrides: Any) -> BatchFeatureView:
    options: dict[str, Any] = {
        "name": "spent",
        "source": None,
        "sources": [clicks_source(), PLANS],
        "sql": TEXT,
        "schema": [Field(name="price", dtype=Float64), Field(name="clicked", dtype=Int64)],
        "aggregations": [
            Aggregation(column="price", function="sum", window=7 * DAY),
            Aggregation(column="price", function="max", window=DAY, where="clicked > 1"),
            Aggregation(column="event_timestamp", function="last", name="last_paid"),
        ],
    }
    return view_definition(**(options | overrides))


def problems(definition: BatchFeatureView) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        compile_objects(definition)
    return [problem.message for problem in raised.value.problems]


def page_prices(clicks: Any, plans: Any) -> Any:
    return clicks.join(plans, "page")


def test_features_are_those_of_the_aggregations_over_the_querys_columns() -> None:
    manifest = compile_objects(spent(lookback=DAY)).manifest
    view = manifest.views["spent"]
    assert {feature.name: feature.dtype for feature in view.features} == {
        "price_sum_7d": Float64,
        "price_max_1d": Float64,
        "last_paid": Timestamp,
    }
    assert isinstance(view.transformation, Aggregations)
    assert view.transformation.events == EventQuery(
        transformation=SqlTransformation(text=TEXT, per="row", lookback=DAY),
        columns=(FieldNode(name="clicked", dtype=Int64), FieldNode(name="price", dtype=Float64)),
    )
    assert (view.is_aggregate, view.longest_window, code_of(view, manifest)) == (True, None, ())
    assert manifest_from_json(manifest_to_json(manifest)) == manifest


def test_a_function_is_carried_with_its_code() -> None:
    manifest = compile_objects(spent(sql=None, function=page_prices)).manifest
    view = manifest.views["spent"]
    assert isinstance(view.user_code, FunctionTransformation)
    assert code_of(view, manifest) == (view.user_code.code,)
    assert fingerprint(view, manifest) != fingerprint(compile_objects(spent()).manifest.views["spent"], manifest)


def test_layout_and_order_of_the_query_do_not_change_the_view() -> None:
    before = compile_objects(spent()).manifest.views["spent"].fingerprint
    changed = spent(sql=TEXT.replace(" FROM", "\n  FROM"), sources=[PLANS, clicks_source()])
    assert compile_objects(changed).manifest.views["spent"].fingerprint == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"schema": ()}, "is made by SQL and has no schema; name the columns that its aggregations read"),
        ({"schema": [Field(name="cost", dtype=Float64)]}, "aggregation 'price_sum_7d': unknown column 'price'"),
        ({"schema": [Field(name="price", dtype=String)]}, "sum does not take column 'price' of type string"),
        ({"sources": [PLANS], "sql": "SELECT 1 FROM {plans}"}, "no input with a timestamp_field, so its rows have no"),
        ({"schema": [Field(name="user_id", dtype=Int64)]}, "schema: 'user_id' is a join key or the rows' time"),
        ({"function": page_prices}, "has sql and function; a view has at most one of them"),
        ({"sql": "SELECT 1 FROM {clicks}"}, "sql does not read source 'plans'"),
        ({"sql": None}, "has 2 sources and no sql or function that joins them"),
        ({"schedule": None}, "is computed by step and has no schedule"),
        ({"lookback": timedelta(0)}, "lookback=datetime.timedelta(0) is not valid"),
    ],
)
def test_a_mistake_is_told(overrides: dict[str, Any], message: str) -> None:
    found = problems(spent(**overrides))
    assert len([text for text in found if message in text]) == 1, found


def test_columns_are_named_for_a_query_only() -> None:
    view = spent(sql=None, source=clicks_source(), sources=(), aggregations=[Aggregation(function="count", window=DAY)])
    assert any("no sql or function whose columns schema= could name" in text for text in problems(view))


def test_keys_may_come_from_any_input() -> None:
    prices = FileSource(
        name="prices",
        path="prices.parquet",
        timestamp_field="at",
        schema=[Field(name="page", dtype=String), Field(name="at", dtype=Timestamp)],
    )
    owner = DeltaSource(
        name="owner", path="o", schema=[Field(name="page", dtype=String), Field(name="user_id", dtype=Int64)]
    )
    view = spent(
        entities=[user_entity()], sources=[prices, owner], sql="SELECT o.user_id, p.at FROM {prices} p, {owner} o"
    )
    assert compile_objects(view).manifest.views["spent"].is_aggregate
