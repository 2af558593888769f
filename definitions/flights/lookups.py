"""What becomes of predictions between two batch steps: cached, stale or missing and repaired, written back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from featurestore import FeatureStore
from featurestore.intervals import show_duration

__all__ = ["Looked", "look_between_steps", "repairs_table"]

_RECORD = ("late_rate", "flights_30d", "mean_air_time")
_FAR_AWAY = ("ANC", "CDG", "FRA", "GRU", "HND", "LHR", "MAD", "MEX", "NRT", "SYD", "YUL", "YVR")
"""Airports to which the year has no flight of most carriers: nothing was scored for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One lookup: why, for which flight, and what came."""

    why: str
    flight: Mapping[str, str]
    probability: float | None
    status: str
    age: str


def look_between_steps(
    store: FeatureStore, flight: Mapping[str, str], clock: Callable[[], float] = time.time
) -> list[Looked]:
    """Look a scored flight up, change its features, look again, and do the same for one that nothing is known of."""
    chosen = _FAR_AWAY[int(clock()) % len(_FAR_AWAY)]
    found = [_look(store, flight, "as the batch step left it")]
    _arrive_late(store, flight)
    found.append(_look(store, flight, "its record changed: stale, so inferred in the lookup"))
    found.append(_look(store, flight, "asked again: the write-back of that lookup"))
    unknown = {**flight, "dest": chosen}
    found.append(_look(store, unknown, "never scored: missing, so inferred in the lookup"))
    found.append(_look(store, unknown, "asked again: the write-back of that lookup"))
    return found


def repairs_table(found: Sequence[Looked]) -> Table:
    """Lay lookups out for the console."""
    table = Table("flight", "lookup", "probability late", "status", "age", box=None, header_style="bold")
    for looked in found:
        shown = "null" if looked.probability is None else f"{looked.probability:.3f}"
        route = "{carrier} {origin}-{dest}".format(**looked.flight)
        table.add_row(route, looked.why, shown, looked.status, looked.age)
    return table


def _look(store: FeatureStore, flight: Mapping[str, str], why: str) -> Looked:
    answer = store.get_online_features(["late_arrival:probability_late"], [flight])
    said = answer.predictions["late_arrival"][0]
    return Looked(
        why=why,
        flight=flight,
        probability=answer.to_dict()["probability_late"][0],
        status=str(said.status),
        age="" if said.age is None else show_duration(said.age),
    )


def _arrive_late(store: FeatureStore, flight: Mapping[str, str]) -> None:
    """Write the connection's record as it is after one more late flight; the next batch step puts its own in place."""
    known = store.get_online_features([f"connection_record:{name}" for name in _RECORD], [flight]).to_dict()
    rate, flights = known["late_rate"][0] or 0.0, known["flights_30d"][0] or 0
    record = {
        "late_rate": [(rate * flights + 1) / (flights + 1)],
        "flights_30d": [flights + 1],
        "mean_air_time": known["mean_air_time"],
    }
    store.write_to_online_store("connection_record", {**{name: [value] for name, value in flight.items()}, **record})
