"""Models in this process: each version loaded once, called on arrays."""

from __future__ import annotations

import threading
from typing import Any, assert_never

from featurestore.errors import InferenceFailed, StateError
from featurestore.ir.nodes import CodeRef, ModelFileNode, ModelLoad, ModelNode, ModelServerNode
from featurestore.models.base import Arrays, LoadedModel, ModelMismatch
from featurestore.models.files import ModelFiles
from featurestore.ondemand.functions import CodeNotFound, Resolve, resolve_code

__all__ = ["LocalModels", "load_model"]

_PACKAGES = {"joblib": "featurestore[models]", "onnx": "featurestore[models]", "mlflow": "featurestore[models]"}


class LocalModels:
    """Models by their node; threads may share it.

    ``resolve`` finds the code that loads a model, ``files`` where model files are.
    """

    def __init__(self, resolve: Resolve = resolve_code, *, files: ModelFiles | None = None) -> None:
        self._resolve = resolve
        self._files = files
        self._loaded: dict[ModelNode, LoadedModel] = {}
        self._lock = threading.Lock()

    def predict(self, model: ModelNode, inputs: Arrays) -> Any:
        """Call the model; whatever it raises is InferenceFailed with the model's name."""
        loaded = self.load(model)
        try:
            return loaded.predict(dict(inputs))
        except ModelMismatch as error:
            raise _failed(model, str(error)) from error
        except Exception as error:  # a model may raise anything; it is told with its owner's name
            raise _failed(model, f"raised {type(error).__name__}: {error}") from error

    def load(self, model: ModelNode) -> LoadedModel:
        """Load a model version once; InferenceFailed says why it cannot be loaded."""
        with self._lock:
            loaded = self._loaded.get(model)
            if loaded is None:
                loaded = self._loaded[model] = load_model(model, self._files, self._resolve)
            return loaded


def load_model(model: ModelNode, files: ModelFiles | None = None, resolve: Resolve = resolve_code) -> LoadedModel:
    """Load a model from code or a file, or make the caller of its server; InferenceFailed says what it lacks."""
    load = model.load
    try:
        match load:
            case CodeRef():
                return _from_code(load, resolve)
            case ModelFileNode():
                return _from_file(load, files or ModelFiles("."))
            case ModelServerNode():
                from featurestore.models.server import ServerModel

                return ServerModel(model.name, model.version, load)
            case _:
                assert_never(load)
    except (ModelMismatch, CodeNotFound) as error:
        raise _failed(model, str(error)) from error
    except StateError:
        raise
    except ModuleNotFoundError as error:
        raise _failed(model, f"cannot be loaded: {_to_install(load, error)}") from error
    except Exception as error:  # loading runs code of others: user functions, pickles, runtimes
        what = f" as a {load.format} model" if isinstance(load, ModelFileNode) else ""
        raise _failed(model, f"cannot be loaded{what}: {type(error).__name__}: {error}") from error


def _from_code(code: CodeRef, resolve: Resolve) -> LoadedModel:
    loaded = resolve(code)()
    if not callable(getattr(loaded, "predict", None)):
        raise ModelMismatch(
            f"gave {type(loaded).__name__} without predict(); valid is an object whose predict maps "
            "dict[str, ndarray] to dict[str, ndarray]"
        )
    return loaded  # type: ignore[no-any-return]


def _from_file(file: ModelFileNode, files: ModelFiles) -> LoadedModel:
    path = files.find(file)
    match file.format:
        case "joblib":
            from featurestore.models.joblib_file import JoblibModel

            return JoblibModel(file, path)
        case "onnx":
            from featurestore.models.onnx_file import OnnxModel

            return OnnxModel(file, path)
        case "mlflow":
            from featurestore.models.mlflow_folder import MlflowModel

            return MlflowModel(file, path)
        case _:
            assert_never(file.format)


def _to_install(load: ModelLoad, error: ModuleNotFoundError) -> str:
    missing = (error.name or str(error)).partition(".")[0]
    match load:
        case CodeRef():
            return f"there is no module {missing!r}; install it where the model runs"
        case ModelFileNode():
            kind, package = f"a {load.format} model", _PACKAGES[load.format]
        case ModelServerNode():
            kind, package = "a model behind a server", "featurestore[models]"
        case _:
            assert_never(load)
    return (
        f"{kind} needs the module {missing!r}, which is not installed; install it where the model runs "
        f"({package!r} has what the kind itself needs)"
    )


def _failed(model: ModelNode, what: str) -> InferenceFailed:
    return InferenceFailed(f"{model.title} {what}", model=model.name, version=model.version)
