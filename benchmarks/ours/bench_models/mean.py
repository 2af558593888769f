"""A model that costs next to nothing, and counts its calls: what is measured is all around it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

__all__ = ["CALLS", "MeanModel", "load", "load_slow"]

CALLS = "BENCHMARK_MODEL_CALLS"
"""The environment variable that names a file which gets a line with the process' number for each call."""


class MeanModel:
    """``predict`` gives the mean of the features of each row, after ``seconds``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import numpy as np

        columns = [np.asarray(column, dtype=np.float64) for column in inputs.values()]
        if path := os.environ.get(CALLS):
            with Path(path).open("a", encoding="utf-8") as log:
                log.write(f"{os.getpid()}\n")
        if self._seconds:
            time.sleep(self._seconds)
        return {"score": np.mean(columns, axis=0)}


def load() -> MeanModel:
    return MeanModel()


def load_slow() -> MeanModel:
    """Give a model that takes 5 ms, as one behind a network may."""
    return MeanModel(0.005)
