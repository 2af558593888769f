"""What becomes of the entities of one question to a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from featurestore.errors import InferenceFailed
from featurestore.ir.nodes import PredictionViewNode
from featurestore.ondemand.arrays import Column, numpy_dtype

__all__ = ["Answers"]


class Answers:
    """What became of each entity of a batch: a prediction, or the reason why there is none."""

    def __init__(self, view: PredictionViewNode, count: int) -> None:
        self.columns: dict[str, Column] = {
            f.name: (np.zeros(count, numpy_dtype(f.dtype)), np.zeros(count, dtype=bool)) for f in view.features
        }
        self.event_us = np.zeros(count, dtype=np.int64)
        self.predicted_us = np.zeros(count, dtype=np.int64)
        self.known = np.zeros(count, dtype=bool)
        self.error: InferenceFailed | None = None
        """The first of the reasons."""

    def put(self, places: np.ndarray[Any, Any], columns: dict[str, Column], event_us: Any, predicted_us: Any) -> None:
        for name, (values, valid) in columns.items():
            own_values, own_valid = self.columns[name]
            own_values[places] = values
            assert own_valid is not None
            own_valid[places] = True if valid is None else valid
        self.event_us[places] = event_us
        self.predicted_us[places] = predicted_us
        self.known[places] = True

    def fail(self, error: InferenceFailed) -> None:
        if self.error is None:
            self.error = error
