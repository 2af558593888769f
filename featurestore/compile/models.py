"""Models of prediction views: what is wrong with one, and its node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Literal, cast
from urllib.parse import urlsplit

from featurestore.compile.code import code_ref
from featurestore.compile.references import feature_refs, selections_of
from featurestore.compile.report import choices, unknown
from featurestore.compile.schemas import Schemas, join_keys_of
from featurestore.compile.validate_code import load_path_problems
from featurestore.ir.content import content_digest
from featurestore.ir.inputs import argument_names
from featurestore.ir.nodes import ModelFileNode, ModelLoad, ModelNode, ModelOutputNode, ModelServerNode
from featurestore.spec.prediction import Model, PredictionView

__all__ = ["model_node", "model_problems"]

ModelFormat = Literal["joblib", "mlflow", "onnx"]

_FORMATS: tuple[ModelFormat, ...] = ("joblib", "mlflow", "onnx")
_SOURCES = ("load", "path", "server")
_METHODS = ("predict", "predict_proba")
_ENDINGS: Mapping[str, ModelFormat] = {".joblib": "joblib", ".pkl": "joblib", ".pickle": "joblib", ".onnx": "onnx"}
_COLUMN_OF = re.compile(r"(?P<name>.+)\[(?P<column>\d+)\]")


def model_problems(view: PredictionView, schemas: Schemas, repo: Path) -> Iterator[str]:
    """Say what is wrong with a view's model; nothing is loaded."""
    model = view.model
    for option in ("name", "version"):
        if not getattr(model, option):
            yield f"its model has no {option}; name it, so that predictions of different models never mix"
    given = [option for option in _SOURCES if getattr(model, option) is not None]
    if len(given) != 1:
        yield (
            f"model {model.name!r} has {' and '.join(given) or 'none of load, path and server'}; give one of "
            'load="module:function", path= of a model file or MLflow folder, and server="http://…" of a model server'
        )
        return
    if model.server is not None:
        problems = _server_problems(view, model.server, schemas)
    elif model.path is not None:
        problems = _path_problems(view, model.path, schemas, repo)
    else:
        problems = _load_problems(model, repo)
    for message in problems:
        yield f"model {model.name!r}: {message}"


def model_node(view: PredictionView, schemas: Schemas, repo: Path) -> ModelNode:
    """Make the node of a valid model; its files are hashed."""
    return ModelNode(
        name=view.model.name,
        version=view.model.version,
        load=_load_node(view, schemas, repo),
        files=tuple((path, content_digest(repo / path)) for path in sorted(view.model.files)),
    )


def _load_node(view: PredictionView, schemas: Schemas, repo: Path) -> ModelLoad:
    model = view.model
    if model.server is not None:
        return ModelServerNode(
            url=model.server.rstrip("/"),
            timeout=model.timeout,
            inputs=_inputs(view, schemas),
            outputs=_outputs(view),
        )
    if model.path is not None:
        return ModelFileNode(
            path=PurePosixPath(model.path).as_posix(),
            digest=content_digest(repo / model.path),
            format=cast(ModelFormat, _format_of(model, repo)),
            method=cast(Literal["predict", "predict_proba"], model.method),
            inputs=_inputs(view, schemas),
            outputs=_outputs(view),
        )
    assert model.load is not None, "a valid model has load, path or server"
    return code_ref(repo, model.load)


def _load_problems(model: Model, repo: Path) -> Iterator[str]:
    assert model.load is not None
    yield from load_path_problems(model.load, repo)
    for option in ("format", "inputs", "outputs"):
        if getattr(model, option):
            yield f"{option}= is for a model with path=; a function that loads a model gives its outputs by name"
    for path in model.files:
        if not (repo / path).is_file():
            yield f"there is no file {path!r} under {repo}; train the model first, or correct files="


def _path_problems(view: PredictionView, path: str, schemas: Schemas, repo: Path) -> Iterator[str]:
    model = view.model
    if model.files:
        yield "files= is for a model with load=; the file or folder of path= is hashed as it is"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        yield f"path={path!r} is not valid; write it relative to the repo, so that it goes with the definitions"
        return
    if not (repo / path).exists():
        yield f"there is no file {path!r} under {repo}; train the model first, or correct path="
        return
    kind = _format_of(model, repo)
    if kind is None:
        yield f"the format of {path!r} is not known by its name; give format= (one of {', '.join(_FORMATS)})"
        return
    if kind not in _FORMATS:
        yield choices("format", kind, _FORMATS)
        return
    if kind == "mlflow" and not (repo / path / "MLmodel").is_file():
        yield f"{path!r} is no MLflow model: there is no file MLmodel in it; valid is a folder that save_model() wrote"
    if kind != "mlflow" and not (repo / path).is_file():
        yield f"{path!r} is a folder; a {kind} model is one file"
    if model.method not in _METHODS:
        yield choices("method", model.method, _METHODS)
    elif model.method != "predict" and kind != "joblib":
        yield f"method={model.method!r} is for joblib models; what an {kind} model gives is chosen by outputs="
    yield from _mapping_problems(view, schemas)


def _server_problems(view: PredictionView, server: str, schemas: Schemas) -> Iterator[str]:
    model = view.model
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield f'server={server!r} is not valid; write "http://host:port" or "https://host", with a path in front of /v2'
    elif parts.username or parts.password or parts.query or parts.fragment:
        yield "server= holds credentials or a query; definitions are stored in the clear: let a proxy add them"
    if model.timeout <= timedelta(0):
        yield f"timeout={model.timeout} is not valid; give a duration above 0"
    for option in ("files", "format"):
        if getattr(model, option):
            yield f"{option}= is not for a model with server=: the server has its own"
    if model.method != "predict":
        yield f"method={model.method!r} is for joblib models; what a server gives is chosen by outputs="
    yield from _mapping_problems(view, schemas)


def _mapping_problems(view: PredictionView, schemas: Schemas) -> Iterator[str]:
    model = view.model
    features = _argument_names(view, schemas)
    for name in model.inputs.values() if isinstance(model.inputs, Mapping) else model.inputs:
        if name not in features:
            yield f"inputs: {unknown('feature', name, features)}"
    for name in model.outputs:
        if name not in {item.name for item in view.outputs}:
            yield f"outputs: {unknown('output', name, (item.name for item in view.outputs))}"


def _format_of(model: Model, repo: Path) -> str | None:
    assert model.path is not None
    if model.format is not None:
        return model.format
    return "mlflow" if (repo / model.path).is_dir() else _ENDINGS.get(PurePosixPath(model.path).suffix.lower())


def _argument_names(view: PredictionView, schemas: Schemas) -> tuple[str, ...]:
    """Name the model's arguments in the order in which it gets them: features, or join keys; then request fields."""
    names = tuple(argument_names(tuple(feature_refs(selections_of(view), schemas))))
    if not names:
        names = tuple(key.name for key in join_keys_of(view.entities))
    return names + (tuple(item.name for item in view.request.schema) if view.request else ())


def _inputs(view: PredictionView, schemas: Schemas) -> tuple[tuple[str, str], ...]:
    given = view.model.inputs
    if isinstance(given, Mapping):
        return tuple(given.items())
    return tuple((name, name) for name in given or _argument_names(view, schemas))


def _outputs(view: PredictionView) -> tuple[ModelOutputNode, ...]:
    """Say where each output is, in the order of the definition: by default it is its column."""
    return tuple(_output(item.name, view.model.outputs.get(item.name)) for item in view.outputs)


def _output(feature: str, where: int | str | None) -> ModelOutputNode:
    if isinstance(where, str):
        named = _COLUMN_OF.fullmatch(where)
        if named is None:
            return ModelOutputNode(feature=feature, name=where)
        return ModelOutputNode(feature=feature, name=named["name"], column=int(named["column"]))
    return ModelOutputNode(feature=feature, column=where)
