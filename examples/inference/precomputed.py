"""Strategy 2: precomputed predictions, served as features are. No model runs here; the batch job made them.

python -m examples.inference.precomputed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurestore import FeatureStore

__all__ = ["board"]

FLIGHTS = [{"carrier": "UA", "origin": "EWR", "dest": dest} for dest in ("ORD", "SFO", "IAH")]


def board(store: FeatureStore, flights: Sequence[Mapping[str, Any]]) -> list[tuple[float | None, str]]:
    """Give each flight's probability with its status: CACHED is the batch job's."""
    answer = store.get_online_features(["late_arrival:probability_late"], flights)
    statuses = [str(prediction.status) for prediction in answer.predictions["late_arrival"]]
    return list(zip(answer.to_dict()["probability_late"], statuses, strict=True))


def main() -> None:
    with FeatureStore(".") as store:
        for flight, (probability, status) in zip(FLIGHTS, board(store, FLIGHTS), strict=True):
            print(f"{flight['dest']}: {probability} ({status})")


if __name__ == "__main__":
    main()
