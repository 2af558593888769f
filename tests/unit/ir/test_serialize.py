"""The manifest's JSON is canonical, and reads back as what was written."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import StateError
from featurestore.ir import nodes, schedule
from featurestore.ir.manifest import Manifest
from featurestore.ir.serialize import KINDS, manifest_from_json, manifest_to_json
from featurestore.spec import source
from featurestore.spec.dtypes import SCALARS, Array, Decimal, DType, Map
from tests.support.every_node import every_node

UNIONS: tuple[Any, ...] = (nodes.SourceNode, nodes.InputNode, nodes.Transformation, schedule.ScheduleNode, source.Ready)

decimals = st.integers(1, 38).flatmap(lambda digits: st.builds(Decimal, st.just(digits), st.integers(0, digits)))
dtypes: st.SearchStrategy[DType] = st.recursive(
    st.sampled_from(SCALARS) | decimals,
    lambda inner: st.builds(Array, inner) | st.builds(Map, st.sampled_from(SCALARS), inner),
)
fields = st.tuples(st.builds(nodes.FieldNode, name=st.text(), dtype=dtypes))
durations = st.timedeltas(min_value=timedelta(days=-999), max_value=timedelta(days=99_999))
views = st.builds(
    dataclasses.replace,
    st.just(every_node().views["joined"]),
    description=st.text(),
    features=fields,
    late_data=durations,
    ttl=st.none() | durations,
    start=st.none() | st.datetimes(timezones=st.just(UTC)),
    tags=st.tuples(st.tuples(st.text(), st.text())),
)


def test_every_kind_of_node_reads_back() -> None:
    manifest = every_node()
    assert manifest_from_json(manifest_to_json(manifest)) == manifest


@given(views)
def test_any_values_read_back(view: nodes.ViewNode) -> None:
    manifest = Manifest(project="demo", views={"joined": view})
    assert manifest_from_json(manifest_to_json(manifest)) == manifest


def test_equal_manifests_give_equal_text() -> None:
    manifest = every_node()
    turned = dataclasses.replace(manifest, views=dict(reversed(manifest.views.items())))
    assert manifest_to_json(turned) == manifest_to_json(manifest)
    assert manifest_to_json(manifest).endswith("}\n")


def test_every_node_that_there_is_is_tried() -> None:
    text = manifest_to_json(every_node())
    assert all(f'"kind": "{kind}"' in text for kind in KINDS.values())


@pytest.mark.parametrize("union", UNIONS, ids=str)
def test_every_member_of_a_union_has_a_tag_of_its_own(union: Any) -> None:
    tags = [KINDS[member] for member in get_args(union)]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_format_is_refused(found: object) -> None:
    document = json.loads(manifest_to_json(every_node())) | {"format": found}
    with pytest.raises(StateError, match="this release reads format 1"):
        manifest_from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("views", "plain", "ttl"), "30d", r"Manifest\.views\.plain\.ttl: found '30d'; valid is a whole number of µs"),
        (
            ("views", "plain", "on_expired"),
            "keep",
            r"Manifest\.views\.plain\.on_expired: found 'keep'; valid is one of null, serve",
        ),
        (
            ("views", "plain", "transformation"),
            {"kind": "magic"},
            "found 'magic'; valid is an object of kind aggregations",
        ),
        (("views", "plain", "colour"), "red", "found 'colour'; valid is the fields name, "),
        (("project",), 3, r"Manifest\.project: found 3; valid is str"),
    ],
)
def test_what_does_not_fit_is_named(path: tuple[str, ...], value: object, message: str) -> None:
    document = json.loads(manifest_to_json(every_node()))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(StateError, match=message):
        manifest_from_json(json.dumps(document))


def test_a_missing_field_is_named() -> None:
    document = json.loads(manifest_to_json(every_node()))
    del document["entities"]["user"]["keys"]
    with pytest.raises(StateError, match=r"Manifest\.entities\.user: found 'no keys'"):
        manifest_from_json(json.dumps(document))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(StateError, match="not JSON"):
        manifest_from_json("{")
