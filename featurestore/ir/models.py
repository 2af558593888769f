"""Nodes of models, and of the code that definitions name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

__all__ = ["CodeRef", "ModelFileNode", "ModelLoad", "ModelNode", "ModelOutputNode", "ModelServerNode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRef:
    """A function as ``module:qualname`` and a digest of its module and the first-party modules that reaches."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutputNode:
    """Where a view's output is in what the model gives: under a name, in a column, or in a column of a name.

    Where nothing is said it has the output's own name, or is the column at the output's place.
    """

    feature: str
    name: str | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFileNode:
    """A model file or folder. ``inputs`` are (the model's name, the feature's) in the model's order, ``outputs`` in the
    definition's."""

    path: str
    digest: str
    format: Literal["joblib", "onnx", "mlflow"]
    method: Literal["predict", "predict_proba"]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[ModelOutputNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServerNode:
    """A server of the Open Inference Protocol; name and version are the model's. The rest is as for a file."""

    url: str
    timeout: timedelta
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[ModelOutputNode, ...]


ModelLoad: TypeAlias = CodeRef | ModelFileNode | ModelServerNode
"""Where a model comes from, or is: a function that loads it, a file, or a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNode:
    """``files`` are (path relative to the repo, SHA-256), read by a ``load`` that is code."""

    name: str
    version: str
    load: ModelLoad
    files: tuple[tuple[str, str], ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and folders that the model is made of, relative to the repo."""
        return (self.load.path,) if isinstance(self.load, ModelFileNode) else tuple(path for path, _ in self.files)

    @property
    def place(self) -> str:
        """Where the model is: a function's path, a file's, or a server's address."""
        return self.load.url if isinstance(self.load, ModelServerNode) else self.load.path

    @property
    def title(self) -> str:
        """Name the model in messages."""
        return f"model {self.name!r} version {self.version!r} ({self.place})"
