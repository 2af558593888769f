"""On-demand views that are written: what they are stored by, and mistakes in it."""

from __future__ import annotations

from typing import Any

import pytest

from featurestore import BatchFeatureView, Entity, Field, OnDemandFeatureView, PredictionView, RequestSource
from featurestore.errors import DefinitionError
from featurestore.ir.nodes import FieldNode, OnDemandViewNode
from featurestore.types import Float64, Int64, String, Timestamp
from tests.support.definitions import clicks_source, compile_objects, user_entity, view_definition
from tests.support.on_demand import mix

PAGES = view_definition()
ITEM = Entity(name="item", join_keys=["item_id"], dtypes=[Int64])
REQUEST = RequestSource(name="req", schema=[Field(name="now", dtype=Timestamp)])
USER_ID = FieldNode(name="user_id", dtype=Int64)


def items(**overrides: Any) -> BatchFeatureView:
    source = clicks_source(
        name="sales",
        schema=[
            Field(name="item_id", dtype=Int64),
            Field(name="event_timestamp", dtype=Timestamp),
            Field(name="price", dtype=Float64),
        ],
    )
    options = {"name": "items", "entities": [ITEM], "source": source, "schema": [Field(name="price", dtype=Float64)]}
    return view_definition(**(options | overrides))


def written(**overrides: Any) -> OnDemandFeatureView:
    options: dict[str, Any] = {
        "name": "mixes",
        "sources": [PAGES[["page_seconds"]]],
        "schema": [Field(name="mixed", dtype=Float64)],
        "function": mix,
        "write_to_online_store": True,
    }
    return OnDemandFeatureView(**(options | overrides))


def node(*objects: Any) -> OnDemandViewNode:
    return compile_objects(*objects).manifest.on_demand_views["mixes"]


def messages(*objects: Any) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        compile_objects(*objects)
    return [problem.message for problem in raised.value.problems]


def test_the_key_is_that_of_all_views_that_are_read() -> None:
    assert node(written()).join_keys == (USER_ID,)
    both = written(sources=[PAGES, items(), REQUEST])
    assert [key.name for key in node(both).join_keys] == ["user_id", "item_id"]
    renamed = written(sources=[PAGES.with_join_key_map({"user_id": "sender_id"}), items()])
    assert [key.name for key in node(renamed).join_keys] == ["sender_id", "item_id"]
    assert node(written(write_to_online_store=False)).join_keys == ()


def test_entities_name_the_key_and_count_for_the_version() -> None:
    plain, named = node(written()), node(written(entities=[user_entity()]))
    more = node(written(entities=[user_entity(), ITEM]))
    assert (named.join_keys, more.entities) == (plain.join_keys, ("user", "item"))
    assert [key.name for key in more.join_keys] == ["user_id", "item_id"]
    assert len({plain.fingerprint, named.fingerprint, more.fingerprint}) == 3


def test_whether_it_is_written_changes_no_value_so_no_fingerprint() -> None:
    assert node(written()).fingerprint == node(written(write_to_online_store=False)).fingerprint


def test_a_view_of_request_values_alone_needs_entities() -> None:
    assert node(written(sources=[REQUEST], entities=[user_entity()])).join_keys == (USER_ID,)
    [message] = messages(written(sources=[REQUEST]))
    assert message.startswith("has write_to_online_store=True and nothing that its features could be stored by")


TEXT_USER = user_entity(name="text_user", dtypes=[String])
TEXTS = view_definition(
    name="texts",
    entities=[TEXT_USER],
    source=clicks_source(
        name="texts_source",
        schema=[
            Field(name="user_id", dtype=String),
            Field(name="event_timestamp", dtype=Timestamp),
            Field(name="length", dtype=Int64),
        ],
    ),
    schema=[Field(name="length", dtype=Int64)],
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"write_to_online_store": False, "entities": [ITEM]}, "has entities=, which only say what written features"),
        ({"entities": [ITEM]}, "reads view 'pages' by join key 'user_id', which is none of its own: item_id"),
        ({"sources": [PAGES, TEXTS]}, "join key 'user_id' is int64 in view 'pages' and string in another"),
        (
            {"sources": [items(online=False)]},
            "has write_to_online_store=True and reads view 'items', which has online=False",
        ),
        ({"schema": [Field(name="user_id", dtype=Int64)]}, "feature 'user_id' has the name of a join key"),
        ({"schema": [Field(name="page", dtype=String)]}, "feature 'page' has the name of a feature of view 'pages'"),
        (
            {"sources": [PAGES, RequestSource(name="req", schema=[Field(name="page", dtype=String)])]},
            "request field 'page' has the name of a feature of view 'pages'",
        ),
        (
            {"sources": [PAGES, REQUEST], "schema": [Field(name="now", dtype=Timestamp)]},
            "feature 'now' has the name of a request field of its own",
        ),
    ],
)
def test_mistakes_are_told(overrides: dict[str, Any], message: str) -> None:
    found = messages(written(**overrides))
    assert len([text for text in found if text.startswith(message)]) == 1, found


def test_two_written_views_of_one_source_may_not_share_a_feature_name() -> None:
    [message] = messages(written(), written(name="others", sources=[PAGES[["page"]]]))
    assert message.startswith("feature 'mixed' is also one of 'mixes', which is written beside it")
    compile_objects(written(), written(name="others", sources=[items()]))
    compile_objects(written(), written(name="others", write_to_online_store=False))


def test_a_feature_may_not_be_called_like_a_prediction_that_is_written_with_the_source() -> None:
    from featurestore import Model

    score = PredictionView(
        name="mixed",
        entities=[user_entity()],
        features=PAGES[["page_seconds"]],
        model=Model(name="ctr", version="1", load="tests.support.serving_functions:load"),
        outputs=[Field(name="score", dtype=Float64)],
        attach_to=PAGES,
    )
    assert any("what prediction view 'mixed' is written by" in text for text in messages(written(), score))
