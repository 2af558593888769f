"""The landed tables, and when a day of them is complete."""

from __future__ import annotations

from definitions.flights.replay import DATA_FOLDER
from featurestore import DeltaSource, marker

_ARRIVED = marker(DATA_FOLDER + "/arrived/{start:%Y-%m-%d}/_SUCCESS")

flights = DeltaSource(
    name="flights",
    path=f"{DATA_FOLDER}/flights",
    timestamp_field="event_timestamp",
    ready=_ARRIVED,
    description="One row a flight, from the moment its outcome is known.",
)
hourly_weather = DeltaSource(
    name="hourly_weather",
    path=f"{DATA_FOLDER}/weather",
    timestamp_field="event_timestamp",
    ready=_ARRIVED,
    description="One row an hour and airport.",
)
planes = DeltaSource(
    name="planes",
    path=f"{DATA_FOLDER}/planes",
    description="The register of aircraft: a dimension without time.",
)
