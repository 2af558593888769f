"""Rides, and what becomes of them between runs, drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.late_rides import LateRides
from tests.support.rides import day, ride

__all__ = ["DAYS", "DRIVERS", "Change", "Scenario", "scenarios"]

DRIVERS, DAYS = 25, 4

_ORDERS = (((1, 2), (2, 3), (0, 3)), ((0, 3), (0, 3)), ((2, 3), (0, 2), (0, 3)), ((0, 1), (1, 3), (0, 3)))
"""Ranges of days in the order in which they are run; all end with everything that is covered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rides that come late; and by their number, in any order, rides that are altered or go."""

    late: tuple[Mapping[str, Any], ...]
    altered: tuple[int, ...]
    gone: tuple[int, ...]

    def apply(self, source: LateRides) -> None:
        before = source.rows
        altered, gone = (
            [before[number] for number in sorted({number % len(before) for number in picked})]
            for picked in (self.altered, self.gone)
        )
        if self.late:
            source.add(self.late)
        if altered or gone:
            source.change([*altered, *(row for row in gone if row not in altered)], [_longer(row) for row in altered])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``long`` and ``schedule`` go into the definitions; before each run but the first, ``changes`` happens."""

    long: str
    schedule: str
    rides: tuple[Mapping[str, Any], ...]
    runs: tuple[tuple[int, int], ...]
    changes: tuple[Change, ...]
    restarts: tuple[bool, ...]

    @property
    def options(self) -> dict[str, Any]:
        return {"long": self.long, "schedule": self.schedule}


def scenarios() -> st.SearchStrategy[Scenario]:
    # The simplest example has no two rides that differ.
    return _scenarios().filter(lambda drawn: len({_about(row) for row in drawn.rides}) > DRIVERS)


@st.composite
def _scenarios(draw: st.DrawFn) -> Scenario:
    runs = (*draw(st.sampled_from(_ORDERS)), (0, 3))
    return Scenario(
        long=draw(st.sampled_from(["2 * DAY", "DAY", "3 * DAY", "None"])),
        schedule=draw(st.sampled_from(['"@daily"', "DAY / 2"])),
        rides=draw(_rides(40, 80)),
        runs=runs,
        changes=tuple(draw(_change()) for _ in runs[1:]),
        restarts=tuple(draw(st.booleans()) for _ in runs),
    )


def _change() -> st.SearchStrategy[Change]:
    picked = st.lists(st.integers(0, 10_000), max_size=4).map(tuple)
    return st.builds(Change, late=_rides(0, 12), altered=picked, gone=picked)


def _rides(least: int, most: int) -> st.SearchStrategy[tuple[Mapping[str, Any], ...]]:
    """Draw rides at few instants, so that some coincide; those of the last day lie after the runs."""
    drawn = st.builds(
        lambda driver, number, hour, distance, rating: ride(driver, day(number, hour=hour), distance, rating),
        st.sampled_from([None, *range(DRIVERS)]),
        st.integers(0, DAYS - 1),
        st.sampled_from([0, 0, 7, 23]),
        st.sampled_from([0.5, 1.25, 2.0]),
        st.sampled_from([None, 1, 5]),
    )
    return st.lists(drawn, min_size=least, max_size=most).map(tuple)


def _longer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "distance": 9.0}


def _about(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["driver_id"], row["event_timestamp"])
