"""User code that lookups resolve by path: on-demand functions and a model."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["CALLS", "BrokenModel", "Model", "load", "load_broken", "load_nan", "load_wrong"]

CALLS: list[dict[str, np.ndarray[Any, Any]]] = []
"""The inputs of every model call."""


def recency_numpy(inputs: dict[str, Any]) -> dict[str, Any]:
    seconds = (inputs["now"] - inputs["last_seen"]) / np.timedelta64(1, "s")
    return {"seconds_since": seconds, "visits_doubled": inputs["visits"] * 2}


def recency_pandas(frame: Any) -> Any:
    seconds = (frame["now"] - frame["last_seen"]).dt.total_seconds()
    return frame.assign(seconds_since=seconds, visits_doubled=frame["visits"] * 2)[["seconds_since", "visits_doubled"]]


def recency_python(row: dict[str, Any]) -> dict[str, Any]:
    if row["last_seen"] is None:
        return {"seconds_since": None, "visits_doubled": None}
    return {
        "seconds_since": (row["now"] - row["last_seen"]).total_seconds(),
        "visits_doubled": None if row["visits"] is None else row["visits"] * 2,
    }


def wrong_names(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": inputs["visits"]}


def wrong_type(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"seconds_since": ["soon"] * len(inputs["now"]), "visits_doubled": inputs["visits"]}


def wrong_length(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"seconds_since": [1.0], "visits_doubled": [1]}


def raising(inputs: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("no visits")


class Model:
    """Scores the click-through rate times ten; counts its calls."""

    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        CALLS.append(inputs)
        first = next(iter(inputs.values()))
        return {"score": np.nan_to_num(first.astype(np.float64)) * 10}


class BrokenModel:
    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        CALLS.append(inputs)
        raise RuntimeError("out of memory")


class NanModel:
    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        CALLS.append(inputs)
        first = next(iter(inputs.values()))
        return {"score": np.where(first > 0.5, np.nan, first)}


class WrongModel:
    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        CALLS.append(inputs)
        return {"probability": np.zeros(1)}


def load() -> Model:
    return Model()


def load_broken() -> BrokenModel:
    return BrokenModel()


def load_nan() -> NanModel:
    return NanModel()


def load_wrong() -> WrongModel:
    return WrongModel()
