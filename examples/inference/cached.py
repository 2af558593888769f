"""Strategy 3: features and cached predictions in one lookup; what is missing or stale is inferred and written back.

python -m examples.inference.cached
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurestore import FeatureStore

__all__ = ["produce", "show"]

FLIGHT = {"carrier": "UA", "origin": "EWR", "dest": "ORD"}
WANTED = ["carrier_delays:late_share_7d", "late_arrival:probability_late"]


def show(store: FeatureStore, flights: Sequence[Mapping[str, Any]]) -> list[tuple[float | None, float | None, str]]:
    """Give a feature, the prediction and its status for each flight, from one round trip.

    A second call finds CACHED what the first one had to infer.
    """
    answer = store.get_online_features(WANTED, flights)
    values = answer.to_dict()
    statuses = [str(prediction.status) for prediction in answer.predictions["late_arrival"]]
    return list(zip(values["late_share_7d"], values["probability_late"], statuses, strict=True))


def produce(store: FeatureStore, flight: Mapping[str, Any], probability: float) -> None:
    """Write a prediction that was made elsewhere, as the producer of a flight's data may."""
    store.write_to_online_store(
        "late_arrival", {**{name: [value] for name, value in flight.items()}, "probability_late": [probability]}
    )


def main() -> None:
    with FeatureStore(".") as store:
        for asked in ("first", "again"):
            share, probability, status = show(store, [FLIGHT])[0]
            print(f"{asked}: {share} of the week late, this one with {probability} ({status})")


if __name__ == "__main__":
    main()
