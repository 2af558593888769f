"""Feast-centric: the client looks features up, then asks a model server that knows nothing of the feature store.

python -m examples.inference.feast_centric
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from examples.inference.servers import model_server, serving
from featurestore import FeatureStore

__all__ = ["predict"]

FLIGHT = {"carrier": "UA", "origin": "EWR", "dest": "ORD"}


def predict(store: FeatureStore, model_url: str, flights: Sequence[Mapping[str, Any]]) -> list[float]:
    """Give each flight's probability: one lookup, then one request to the model server for all of them."""
    features = store.get_online_features("late_arrival_inputs", flights).to_numpy()
    tensors = [
        {"name": name, "shape": [len(flights)], "datatype": "FP64", "data": _numbers(values)}
        for name, values in features.items()
        if name not in flights[0]
    ]
    answer = httpx.post(f"{model_url}/v2/models/late_arrival/infer", json={"inputs": tensors}).raise_for_status()
    return answer.json()["outputs"][0]["data"]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in np.asarray(values, dtype=np.float64).tolist()]


def main() -> None:
    with serving(model_server()) as url, FeatureStore(".") as store:
        print(predict(store, url, [FLIGHT]))


if __name__ == "__main__":
    main()
