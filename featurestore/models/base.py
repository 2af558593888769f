"""What a loaded model is, and how its loader says what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

__all__ = ["Arrays", "LoadedModel", "ModelMismatch"]

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
"""One array of length n for each name; nulls are NaN in float64, masked arrays otherwise."""


class LoadedModel(Protocol):
    """A model in this process; threads may share it."""

    def predict(self, inputs: Arrays) -> Any:
        """Give one array of length n for each output of the view, by its name."""
        ...


class ModelMismatch(ValueError):
    """The model and the view do not fit: names, shapes or types; the caller names the model."""
