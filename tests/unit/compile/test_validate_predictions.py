"""Mistakes in on-demand views, prediction views, services and permissions are told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import (
    BatchFeatureView,
    Entity,
    FeatureService,
    Field,
    Model,
    OnDemandFeatureView,
    Permission,
    PredictionView,
    RequestSource,
    RoleBasedPolicy,
)
from featurestore.errors import DefinitionError
from featurestore.types import Float64, Int64, Timestamp
from tests.support.definitions import START, compile_objects, user_entity, view_definition

PAGES = view_definition()
REQUEST = RequestSource(name="req", schema=[Field(name="now", dtype=Timestamp)])
SCORE = Field(name="score", dtype=Float64)
ITEM = Entity(name="item", join_keys=["item_id"], dtypes=[Int64])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text("def load_ctr():\n    raise RuntimeError('never loaded')\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("def load_ctr(:\n", encoding="utf-8")
    return tmp_path


def recency(inputs: Any) -> Any:
    return inputs


def messages(repo: Path, *objects: Any) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        compile_objects(*objects, repo=repo)
    return [problem.message for problem in raised.value.problems]


def prediction(**overrides: Any) -> PredictionView:
    options: dict[str, Any] = {
        "name": "churn",
        "entities": [user_entity()],
        "features": PAGES[["page_seconds"]],
        "model": Model(name="ctr", version="1", load="models:load_ctr"),
        "outputs": [SCORE],
        "schedule": "@daily",
        "start": START,
    }
    return PredictionView(**(options | overrides))


def model(**overrides: Any) -> dict[str, Any]:
    return {"model": Model(**({"name": "ctr", "version": "1", "load": "models:load_ctr"} | overrides))}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"features": PAGES[["pgae"]]}, "view 'pages': unknown feature 'pgae' (did you mean 'page'?)"),
        (
            {"features": PAGES.with_join_key_map({"user": "sender"})},
            "join_key_map of view 'pages': unknown join key 'user'",
        ),
        (
            {"features": PAGES.with_join_key_map({"user_id": "sender"})},
            "reads view 'pages' by join key 'sender', which is none",
        ),
        ({"entities": [ITEM]}, "reads view 'pages' by join key 'user_id', which is none of its own: item_id"),
        (model(load="models.load_ctr"), "load='models.load_ctr' is not valid; write \"module:function\""),
        (model(load="modles:load_ctr"), "load='modles:load_ctr': there is no module 'modles' under"),
        (model(load="models:load_ctx"), "unknown function 'load_ctx' (did you mean 'load_ctr'?)"),
        (model(load="broken:load_ctr"), "module broken is not Python"),
        (model(files=["models/ctr.bin"]), "there is no file 'models/ctr.bin' under"),
        (model(version=""), "its model has no version"),
        ({"outputs": []}, "has no outputs"),
        (
            {"outputs": [Field(name="inputs_digest", dtype=Int64)]},
            "feature 'inputs_digest' has the name of a column that every",
        ),
        ({"on_stale": "refresh"}, "on_stale='refresh' is not valid; valid are 'error', 'infer', 'null', 'serve_stale'"),
        ({"on_failure": "infer"}, "on_failure='infer' is not valid"),
        ({"refresh": "never"}, "refresh='never' is not valid"),
        (
            {"refresh": ["on_schedule", "on_read"]},
            "refresh='on_read' is not valid; valid are",
        ),
        ({"stale_on": {"age", "mood"}}, "stale_on='mood' is not valid; valid are 'age', 'inputs', 'version'"),
        ({"refresh_ahead": timedelta(hours=1)}, "refresh_ahead=1h with no max_age: it is how long before max_age"),
        (
            {"refresh_ahead": timedelta(hours=30), "max_age": timedelta(hours=30)},
            "refresh_ahead=1d 6h with max_age=1d 6h",
        ),
        ({"shadow": [Model(name="ctr", version="1", load="models:load_ctr")]}, "shadow: model 'ctr' version '1' is"),
        (
            {"shadow": [Model(name="ctr", version="2", load="models:load_ctx")]},
            "shadow: model 'ctr': load='models:load_ctx'",
        ),
        ({"shadow_fraction": 1.5}, "shadow_fraction=1.5 is not valid"),
        ({"outputs": [Field(name="served_at", dtype=Float64)]}, "'served_at' is the name of a column of the log of"),
        ({"max_age": timedelta(0)}, "max_age=datetime.timedelta(0) is not valid"),
        ({"start": None}, "has a schedule and no start"),
        ({"where": " "}, "where= is empty"),
        ({"where": "page_seconds > 1", "schedule": None, "start": None}, "has where= and no schedule"),
        ({"entities": [], "request": REQUEST, "features": None}, "has a schedule and no entities to score"),
        (
            {"attach_to": PAGES, "outputs": [SCORE, Field(name="rank", dtype=Int64)]},
            "mounts one output as a feature; found 2 outputs",
        ),
        ({"attach_to": PAGES, "name": "page"}, "attach_to='pages' has a feature called 'page' already"),
        (
            {"attach_to": PAGES, "entities": [user_entity(), ITEM]},
            "attach_to='pages' has join keys user_id and the prediction",
        ),
        ({"features": prediction(name="first")}, "features=PredictionView 'first' has the wrong type"),
        (
            {"features": prediction(name="first")[["score"]]},
            "reads prediction view 'first'; predictions of predictions",
        ),
    ],
)
def test_a_mistake_in_a_prediction_view_is_told(repo: Path, overrides: dict[str, Any], message: str) -> None:
    found = messages(repo, prediction(**overrides))
    assert len([text for text in found if message in text]) == 1, found


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sources": [PAGES[["pgae"]], REQUEST]}, "view 'pages': unknown feature 'pgae'"),
        ({"sources": []}, "has no sources"),
        ({"schema": []}, "has no schema"),
        ({"mode": "spark"}, "mode='spark' is not valid; valid are 'numpy', 'pandas', 'python'"),
        ({"engine": "spark"}, "engine='spark' is not valid; valid are 'on_demand'"),
        ({"function": lambda inputs: inputs}, "function is a lambda"),
        ({"schema": [SCORE, SCORE]}, "has two features called 'score'"),
    ],
)
def test_a_mistake_in_an_on_demand_view_is_told(repo: Path, overrides: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"name": "recency", "sources": [PAGES, REQUEST], "schema": [SCORE], "function": recency}
    found = messages(repo, OnDemandFeatureView(**(options | overrides)))
    assert len([text for text in found if message in text]) == 1, found


def test_a_short_max_age_is_a_warning(repo: Path) -> None:
    result = compile_objects(prediction(max_age=timedelta(hours=20)), repo=repo)
    assert result.warnings[0].message.startswith("max_age=20h is shorter than the schedule's step of 1d")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "has no features"),
        ([PAGES[["pgae"]]], "view 'pages': unknown feature 'pgae'"),
        ([PAGES, PAGES[["page"]]], "pages:page is listed twice"),
        ([PAGES[[]]], "selects no feature of 'pages'"),
        (["pages:page"], "features=[… 'pages:page' …] has the wrong type"),
    ],
)
def test_a_mistake_in_a_service_is_told(repo: Path, features: list[Any], message: str) -> None:
    found = messages(repo, FeatureService(name="web", features=features))
    assert len([text for text in found if message in text]) == 1, found


def test_names_of_views_and_services_are_one_space(repo: Path) -> None:
    found = messages(repo, PAGES, FeatureService(name="pages", features=[PAGES]))
    assert [text for text in found if "the name is used twice" in text] == found


def test_a_service_may_read_a_view_twice_under_two_names(repo: Path) -> None:
    sender = PAGES.with_name("sender").with_join_key_map({"user_id": "sender_id"})
    manifest = compile_objects(
        FeatureService(name="web", features=[PAGES[["page"]], sender[["page"]]]), repo=repo
    ).manifest
    refs = manifest.services["web"].features
    assert [(ref.alias, ref.join_key_map) for ref in refs] == [("pages", ()), ("sender", (("user_id", "sender_id"),))]


def test_an_attached_prediction_is_read_under_its_view(repo: Path) -> None:
    attached = prediction(name="churn", attach_to=PAGES)
    service = FeatureService(name="web", features=[PAGES[["page", "churn"]]])
    manifest = compile_objects(attached, service, repo=repo).manifest
    assert [ref.feature for ref in manifest.services["web"].features] == ["page", "churn"]
    assert manifest.prediction_views["churn"].attach_to == "pages"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"actions": ["READ"]}, "unknown action 'READ'"),
        ({"name_patterns": ["("]}, "name pattern '(' is no regular expression"),
        ({"types": [int]}, "types='int' is not valid"),
        ({"policy": RoleBasedPolicy(roles=[])}, "its policy names no role"),
    ],
)
def test_a_mistake_in_a_permission_is_told(repo: Path, overrides: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {
        "name": "growth-read",
        "types": [BatchFeatureView],
        "policy": RoleBasedPolicy(roles=["growth"]),
        "actions": ["READ_ONLINE"],
    }
    found = messages(repo, Permission(**(options | overrides)))
    assert len([text for text in found if message in text]) == 1, found
