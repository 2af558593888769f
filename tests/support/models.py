"""Models that tests load by path; each counts how often it was loaded and called in its process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["double_rate", "load_linear", "load_raising", "load_short", "load_sum"]

_LOADED: list[str] = []


class _Model:
    def __init__(self, name: str) -> None:
        self.name = name
        _LOADED.append(name)

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        clicks, rate = inputs["clicks"], inputs["rate"]
        match self.name:
            case "short":
                return {"score": np.zeros(1)}
            case "raising":
                raise ValueError("no such coefficient")
            case _:
                loaded = np.full(len(clicks), len(_LOADED))
                return {"score": clicks * 10 + rate, "loaded": loaded, "city": inputs["city"]}


class _Sum:
    """Adds its inputs, a missing one as 1000."""

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"score": sum(np.nan_to_num(np.asarray(values, np.float64), nan=1000.0) for values in inputs.values())}


def load_sum() -> _Sum:
    return _Sum()


def load_linear() -> _Model:
    return _Model("linear")


def load_short() -> _Model:
    return _Model("short")


def load_raising() -> _Model:
    return _Model("raising")


def double_rate(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Be the function of an on-demand view."""
    return {"rate": inputs["rate"] * 2}
