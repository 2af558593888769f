"""Strategy 4: a prediction without features. The request alone is the cache key: equal requests share one answer.

python -m examples.inference.no_features
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore import FeatureStore

__all__ = ["minutes_in_the_air"]


def minutes_in_the_air(store: FeatureStore, miles: Sequence[int]) -> list[tuple[float | None, str]]:
    """Give the expected minutes in the air for each distance: inferred once, cached from then on."""
    answer = store.get_online_features(["flight_time:air_minutes"], {"distance": list(miles)})
    statuses = [str(prediction.status) for prediction in answer.predictions["flight_time"]]
    return list(zip(answer.to_dict()["air_minutes"], statuses, strict=True))


def main() -> None:
    with FeatureStore(".") as store:
        for asked in ("first", "again"):
            print(asked, minutes_in_the_air(store, [200, 733, 2475]))


if __name__ == "__main__":
    main()
