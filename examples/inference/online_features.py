"""Strategy 1: online features, then any model. The feature store knows nothing of the model.

python -m examples.inference.online_features
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from definitions.flights.model import load
from featurestore import FeatureStore

__all__ = ["predict"]

FLIGHT = {"carrier": "UA", "origin": "EWR", "dest": "ORD"}


class Model(Protocol):
    def predict(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]: ...


def predict(store: FeatureStore, model: Model, flights: Sequence[Mapping[str, Any]]) -> list[float]:
    """Look the model's features up by the service that its training set was made with, and call it."""
    features = store.get_online_features("late_arrival_inputs", flights)
    return model.predict(features.to_numpy())["probability_late"].tolist()


def main() -> None:
    with FeatureStore(".") as store:
        for probability in predict(store, load(), [FLIGHT]):
            print(f"{FLIGHT}: late with a probability of {probability:.3f}")


if __name__ == "__main__":
    main()
