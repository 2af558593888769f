"""A fingerprint changes with every field that affects data, and with no other; each field of each node is classed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, get_args

import pytest

from featurestore.ir import nodes
from featurestore.ir.fingerprint import DATA_FIELDS, OTHER_FIELDS, Fingerprinted, fingerprint
from featurestore.ir.manifest import Manifest
from featurestore.spec.dtypes import Bytes, DType, Int64
from tests.support.every_node import every_node

DTYPES = get_args(DType)
MANIFEST = every_node()
READERS: tuple[Fingerprinted, ...] = (
    *MANIFEST.views.values(),
    *MANIFEST.on_demand_views.values(),
    *MANIFEST.prediction_views.values(),
)
OTHER_NAMES = {
    (nodes.SourceInput, "source"): "late",
    (nodes.ViewInputNode, "view"): "plain",
    (nodes.FeatureRef, "view"): "plain",
    (nodes.PushSourceNode, "batch_source"): "clicks",
    (nodes.KafkaSourceNode, "batch_source"): "orders",
    (nodes.Aggregations, "events"): nodes.EventQuery(
        transformation=nodes.SqlTransformation(text="SELECT * FROM {clicks}", per="row", lookback=None), columns=()
    ),
}
SOURCE_READERS = {"clicks": "sums", "orders": "plain", "push": "flags", "topic": "by_topic"}

UNFINGERPRINTED = {nodes.EntityNode, nodes.ExpectationNode, nodes.ServiceNode, nodes.PermissionNode}
"""Nodes that no data depends on; an entity counts by the join keys it gives to its views."""
CLASSED = sorted(
    {kind for kind in vars(nodes).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)}
    - UNFINGERPRINTED,
    key=lambda kind: kind.__name__,
)

Chain = tuple[tuple[type, str], ...]


def variants(node: Any) -> Iterator[tuple[Chain, Any]]:
    """Give the node with one value changed, for each value in it, and the fields that lead to that value."""
    for field in dataclasses.fields(node):
        step, value = (type(node), field.name), getattr(node, field.name)
        first = value[0] if isinstance(value, tuple) and value else value
        if dataclasses.is_dataclass(first) and type(first) in DATA_FIELDS:
            for chain, changed in variants(first):
                yield (
                    (step, *chain),
                    dataclasses.replace(
                        node, **{field.name: (changed, *value[1:]) if isinstance(value, tuple) else changed}
                    ),
                )
        if type(value) not in DATA_FIELDS:
            yield (step,), dataclasses.replace(node, **{field.name: OTHER_NAMES.get(step) or other(value)})


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case Enum():
            return next(member for member in type(value) if member is not value)
        case str() | None:
            return "other"
        case int() | float():
            return value + 1
        case timedelta() | datetime():
            return value + timedelta(days=1)
        case tuple():
            return value + value[:1] if value and dataclasses.is_dataclass(value[0]) else (("other", "other"),)
        case _ if isinstance(value, DTYPES):
            return Bytes
        case _:
            return None


def is_data(chain: Chain) -> bool:
    return all(name in DATA_FIELDS.get(kind, ()) for kind, name in chain)


def cases() -> Iterator[Any]:
    for node in READERS:
        for chain, changed in variants(node):
            yield pytest.param(node, chain, changed, id=".".join([node.name, *(name for _, name in chain)]))


@pytest.mark.parametrize(("node", "chain", "changed"), list(cases()))
def test_a_changed_field_changes_the_fingerprint_iff_it_affects_data(
    node: Fingerprinted, chain: Chain, changed: Fingerprinted
) -> None:
    depends_on_grid = not isinstance(getattr(node, "transformation", None), nodes.Passthrough)
    expected = is_data(chain) and (chain[0] != (nodes.ViewNode, "schedule") or depends_on_grid)
    assert (fingerprint(changed, MANIFEST) != fingerprint(node, MANIFEST)) == expected


@pytest.mark.parametrize("source", sorted(SOURCE_READERS))
def test_a_changed_source_changes_its_readers_iff_it_affects_data(source: str) -> None:
    reader = MANIFEST.views.get(SOURCE_READERS[source]) or dataclasses.replace(
        MANIFEST.views["flags"], inputs=(nodes.SourceInput(source=source),)
    )
    before = fingerprint(reader, MANIFEST)
    for chain, changed in variants(MANIFEST.sources[source]):
        after = fingerprint(reader, with_source(source, changed))
        assert (after != before) == is_data(chain), chain


@pytest.mark.parametrize("kind", CLASSED, ids=lambda kind: kind.__name__)
def test_every_field_of_every_node_is_classed(kind: type) -> None:
    data, rest = DATA_FIELDS[kind], OTHER_FIELDS.get(kind, ())
    assert sorted([*data, *rest]) == sorted(field.name for field in dataclasses.fields(kind))


def with_source(name: str, source: nodes.SourceNode) -> Manifest:
    return dataclasses.replace(MANIFEST, sources={**MANIFEST.sources, name: source})


def with_column(source: str, column: str) -> Manifest:
    node = MANIFEST.sources[source]
    return with_source(
        source, dataclasses.replace(node, schema=(*node.schema, nodes.FieldNode(name=column, dtype=Bytes)))
    )


def test_a_new_column_concerns_only_views_that_may_read_it() -> None:
    changed = {
        name
        for name, view in MANIFEST.views.items()
        if fingerprint(view, with_column("clicks", "new")) != fingerprint(view, MANIFEST)
    }
    assert changed == set()
    functions = with_column("push", "new")
    assert fingerprint(MANIFEST.views["flags"], functions) != fingerprint(MANIFEST.views["flags"], MANIFEST)


def test_a_star_in_sql_reads_every_column() -> None:
    joined = MANIFEST.views["joined"]
    for text, is_read in (("SELECT * FROM {clicks}", True), ("SELECT COUNT( * ) AS clicked FROM {clicks}", False)):
        view = dataclasses.replace(joined, transformation=nodes.SqlTransformation(text=text, per="step", lookback=None))
        assert (fingerprint(view, with_column("clicks", "new")) != fingerprint(view, MANIFEST)) == is_read


def test_the_layout_of_sql_does_not_count_but_its_texts_do() -> None:
    def of(text: str) -> str:
        transformation = nodes.SqlTransformation(text=text, per="row", lookback=None)
        return fingerprint(dataclasses.replace(MANIFEST.views["joined"], transformation=transformation), MANIFEST)

    assert of("SELECT clicked\n  FROM {clicks}") == of("SELECT clicked FROM {clicks}")
    assert of("SELECT 'a  b' FROM {clicks}") != of("SELECT 'a b' FROM {clicks}")
    assert of("SELECT 1 -- one\n, 2 FROM {clicks}") != of("SELECT 1 -- one , 2 FROM {clicks}")


def test_the_order_of_features_does_not_count_and_that_of_keys_does() -> None:
    sums = MANIFEST.views["sums"]
    assert fingerprint(dataclasses.replace(sums, features=sums.features[::-1]), MANIFEST) == fingerprint(sums, MANIFEST)
    keys = (*sums.join_keys, nodes.FieldNode(name="ts", dtype=Int64))
    forth, back = (dataclasses.replace(sums, join_keys=order) for order in (keys, keys[::-1]))
    assert fingerprint(forth, MANIFEST) != fingerprint(back, MANIFEST)


def test_a_source_under_another_name_is_the_same_source_where_no_sql_names_it() -> None:
    manifest = with_source("renamed", dataclasses.replace(MANIFEST.sources["clicks"], name="renamed"))
    for name, is_same in (("sums", True), ("joined", False)):
        view = MANIFEST.views[name]
        renamed = dataclasses.replace(view, inputs=(nodes.SourceInput(source="renamed"), *view.inputs[1:]))
        assert (fingerprint(renamed, manifest) == fingerprint(view, manifest)) == is_same


def test_a_changed_parent_changes_those_that_read_it() -> None:
    sums = dataclasses.replace(MANIFEST.views["sums"], fingerprint="another")
    manifest = dataclasses.replace(MANIFEST, views={**MANIFEST.views, "sums": sums})
    for node in (MANIFEST.views["joined"], MANIFEST.on_demand_views["recency"], MANIFEST.prediction_views["churn"]):
        assert fingerprint(node, manifest) != fingerprint(node, MANIFEST)
    assert fingerprint(MANIFEST.views["plain"], manifest) == fingerprint(MANIFEST.views["plain"], MANIFEST)
