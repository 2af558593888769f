"""Models of prediction views, from definition to node: what is hashed, what is said by default, and mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import BatchFeatureView, Field, Model, PredictionView, RequestSource
from featurestore.errors import DefinitionError
from featurestore.ir.nodes import CodeRef, ModelFileNode, ModelOutputNode, ModelServerNode, PredictionViewNode
from featurestore.types import Float64, Timestamp
from tests.support.definitions import START, compile_objects, user_entity, view_definition

PAGES = view_definition()
OTHER = view_definition(name="others")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "ctr.joblib").write_bytes(b"a model")
    (tmp_path / "ctr.bin").write_bytes(b"a model")
    (tmp_path / "folder").mkdir()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "MLmodel").write_text("flavors: {}")
    (tmp_path / "models.py").write_text("def load():\n    pass\n", encoding="utf-8")
    return tmp_path


def prediction(**overrides: Any) -> PredictionView:
    options: dict[str, Any] = {
        "name": "churn",
        "entities": [user_entity()],
        "features": PAGES,
        "outputs": [Field(name="score", dtype=Float64), Field(name="rank", dtype=Float64)],
        "schedule": "@daily",
        "start": START,
    }
    model = {"name": "ctr", "version": "1", **{k: overrides.pop(k) for k in list(overrides) if k not in options}}
    if "taken" in model:
        model["outputs"] = model.pop("taken")
    return PredictionView(**(options | overrides), model=Model(**model))


def compiled(repo: Path, **overrides: Any) -> PredictionViewNode:
    return compile_objects(prediction(**overrides), repo=repo).manifest.prediction_views["churn"]


def file_of(node: PredictionViewNode) -> ModelFileNode:
    assert isinstance(node.model.load, ModelFileNode)
    return node.model.load


def test_inputs_and_outputs_follow_the_definitions_order(repo: Path) -> None:
    file = file_of(compiled(repo, path="ctr.joblib"))
    assert file.inputs == (("page", "page"), ("page_seconds", "page_seconds"))
    assert file.outputs == (ModelOutputNode(feature="score"), ModelOutputNode(feature="rank"))
    assert (file.format, file.method) == ("joblib", "predict")


def test_inputs_are_named_as_the_model_gets_them(repo: Path) -> None:
    both: list[BatchFeatureView] = [PAGES, OTHER]
    file = file_of(compiled(repo, path="ctr.joblib", features=[view[["page"]] for view in both]))
    assert [name for _, name in file.inputs] == ["pages__page", "others__page"]
    request = RequestSource(name="r", schema=[Field(name="now", dtype=Timestamp)])
    node = compile_objects(
        PredictionView(
            name="churn",
            entities=[user_entity()],
            request=request,
            model=Model(name="ctr", version="1", path="ctr.joblib"),
            outputs=[Field(name="score", dtype=Float64)],
        ),
        repo=repo,
    ).manifest.prediction_views["churn"]
    assert [name for _, name in file_of(node).inputs] == ["user_id", "now"]


def test_outputs_say_column_name_or_both(repo: Path) -> None:
    file = file_of(compiled(repo, path="ctr.bin", format="onnx", taken={"score": "probabilities[1]", "rank": "label"}))
    assert file.outputs == (
        ModelOutputNode(feature="score", name="probabilities", column=1),
        ModelOutputNode(feature="rank", name="label"),
    )
    file = file_of(compiled(repo, path="served", taken={"score": 1}, inputs={"seconds": "page_seconds"}))
    assert file.outputs == (ModelOutputNode(feature="score", column=1), ModelOutputNode(feature="rank"))
    assert (file.format, file.inputs) == ("mlflow", (("seconds", "page_seconds"),))


def test_the_bytes_count_and_the_name_of_the_file_does_not(repo: Path) -> None:
    first = compiled(repo, path="ctr.joblib")
    (repo / "other.joblib").write_bytes(b"a model")
    assert compiled(repo, path="other.joblib").fingerprint == first.fingerprint
    (repo / "ctr.joblib").write_bytes(b"another model")
    assert compiled(repo, path="ctr.joblib").fingerprint != first.fingerprint
    folder = compiled(repo, path="served")
    (repo / "served" / "more.txt").write_text("")
    assert compiled(repo, path="served").fingerprint != folder.fingerprint
    assert isinstance(compiled(repo, load="models:load").model.load, CodeRef)


def test_a_models_server_may_move_and_its_version_may_not(repo: Path) -> None:
    view = compiled(repo, server="http://models:8080/", taken={"score": "probabilities[1]"})
    load = view.model.load
    assert isinstance(load, ModelServerNode)
    assert (load.url, load.timeout) == ("http://models:8080", timedelta(seconds=10))
    assert (view.model.title, view.model.paths) == ("model 'ctr' version '1' (http://models:8080)", ())
    moved = compiled(
        repo, server="https://elsewhere", timeout=timedelta(seconds=1), taken={"score": "probabilities[1]"}
    )
    assert moved.fingerprint == view.fingerprint
    assert compiled(repo, server="http://models:8080", taken={"score": "label"}).fingerprint != view.fingerprint


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, "model 'ctr' has none of load, path and server; give one of load="),
        ({"load": "models:load", "path": "ctr.joblib"}, "model 'ctr' has load and path; give one of load="),
        ({"load": "models:load", "inputs": ["page"]}, "inputs= is for a model with path="),
        ({"path": "ctr.joblib", "files": ["ctr.bin"]}, "files= is for a model with load="),
        ({"path": "/tmp/ctr.joblib"}, "path='/tmp/ctr.joblib' is not valid; write it relative to the repo"),
        ({"path": "../ctr.joblib"}, "path='../ctr.joblib' is not valid"),
        ({"path": "ctx.joblib"}, "there is no file 'ctx.joblib' under"),
        ({"path": "ctr.bin"}, "the format of 'ctr.bin' is not known by its name; give format= (one of joblib, mlflow"),
        ({"path": "ctr.bin", "format": "pmml"}, "format='pmml' is not valid; valid are 'joblib', 'mlflow', 'onnx'"),
        ({"path": "folder"}, "'folder' is no MLflow model: there is no file MLmodel in it"),
        ({"path": "folder", "format": "onnx"}, "'folder' is a folder; a onnx model is one file"),
        ({"path": "ctr.joblib", "method": "transform"}, "method='transform' is not valid; valid are 'predict', "),
        ({"path": "served", "method": "predict_proba"}, "method='predict_proba' is for joblib models"),
        ({"path": "ctr.joblib", "inputs": ["pgae"]}, "inputs: unknown feature 'pgae' (did you mean 'page'?)"),
        ({"path": "ctr.joblib", "taken": {"scoer": 1}}, "outputs: unknown output 'scoer' (did you mean 'score'?)"),
        ({"server": "models:8080"}, "server='models:8080' is not valid; write \"http://host:port\""),
        ({"server": "http://u:p@models"}, "server= holds credentials or a query"),
        ({"server": "http://models", "timeout": timedelta(0)}, "timeout=0:00:00 is not valid"),
        ({"server": "http://models", "files": ["ctr.bin"]}, "files= is not for a model with server="),
        ({"server": "http://models", "inputs": ["pgae"]}, "inputs: unknown feature 'pgae' (did you mean 'page'?)"),
        ({"path": 3}, "Model ctr: path=3 has the wrong type"),
    ],
)
def test_a_mistake_in_a_model_is_told(repo: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        compiled(repo, **overrides)
    found = [problem.message for problem in raised.value.problems]
    assert len([text for text in found if message in text]) == 1, found
