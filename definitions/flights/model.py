"""The late-arrival model, loaded from the file that ``definitions.flights.train`` wrote, and one of flight times."""

from __future__ import annotations

import io
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

__all__ = ["FEATURES", "FlightTimeModel", "LateArrivalModel", "load", "load_flight_time"]

FEATURES = (
    "late_rate",
    "flights_30d",
    "mean_air_time",
    "mean_arrival_delay_1d",
    "late_share_7d",
    "late_share_30d",
    "mean_departure_delay_1d",
    "departure_delay_spread_7d",
    "wind_speed",
    "precip",
    "visib",
)
"""The columns of the model's matrix, in order."""


class LateArrivalModel:
    """A scikit-learn classifier behind the engine's model protocol."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Give ``probability_late`` (n,) for feature arrays (n,) each; NaN inputs are imputed by the pipeline."""
        import numpy as np

        matrix = np.column_stack([np.asarray(inputs[name], dtype=np.float64) for name in FEATURES])
        return {"probability_late": self._classifier.predict_proba(matrix)[:, 1]}


def load() -> LateArrivalModel:
    """Load version 1; works from a folder and from the definitions zip."""
    import joblib

    stored = files("definitions.flights").joinpath("models", "late_arrival-1.joblib").read_bytes()
    return LateArrivalModel(joblib.load(io.BytesIO(stored)))


class FlightTimeModel:
    """Minutes in the air by distance: the least-squares line through the year's 327,346 flights that arrived."""

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"air_minutes": 18.46657813 + 0.12611932 * inputs["distance"]}


def load_flight_time() -> FlightTimeModel:
    return FlightTimeModel()
