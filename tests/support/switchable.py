"""A model that tests switch: it answers, waits, raises, or gives what it should not."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import ModelNode

__all__ = ["SwitchableModel"]


class SwitchableModel:
    """Stands for all models of a client: scores the first input times ten, as long as ``behaviour`` is "right".

    ``calls`` has the inputs of each call. While ``gate`` is not set, calls wait.
    """

    def __init__(self) -> None:
        self.behaviour = "right"
        self.calls: list[Mapping[str, np.ndarray[Any, Any]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def predict(self, model: ModelNode, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        self.calls.append(inputs)
        behaviour = self.behaviour
        self.entered.release()
        self.gate.wait(30)
        first = next(iter(inputs.values())).astype(np.float64)
        match behaviour:
            case "right":
                return {"score": first * 10}
            case "raises":
                raise InferenceFailed(f"model {model.name!r} raised RuntimeError: out of memory")
            case "nan":
                return {"score": np.full(len(first), np.nan)}
            case "short":
                return {"score": np.zeros(len(first) + 1)}
            case "shape":
                return {"score": np.zeros((len(first), 2))}
            case "type":
                return {"score": ["high"] * len(first)}
            case "names":
                return {"probability": first}
            case "nothing":
                return None
            case _:
                raise AssertionError(behaviour)
