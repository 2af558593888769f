"""The example feed lands the real year once, as far as it is known, and marks the days that are whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from definitions.flights.feed import Landing, land
from definitions.flights.replay import DATA_FOLDER, INTERVALS, Replay

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feed")


@pytest.fixture(scope="module")
def landed(repo: Path) -> dict[str, Landing]:
    return {landing.table: landing for landing in land(repo, NOON)}


def test_the_whole_year_is_known_by_noon(landed: dict[str, Landing]) -> None:
    assert landed["flights"].landed == landed["flights"].total == 336_776
    assert (landed["weather"].total, landed["planes"].total) == (26_115, 3_322)


def test_days_arrive_in_commits_of_their_own(repo: Path, landed: dict[str, Landing]) -> None:
    table = DeltaTable(repo / DATA_FOLDER / "flights")
    notes = [entry["feed"] for entry in table.history() if "feed" in entry]
    assert len(notes) == landed["flights"].commits
    assert f"known until {NOON.date() - timedelta(days=1)}" in notes


def test_landing_again_writes_nothing(repo: Path, landed: dict[str, Landing]) -> None:
    versions = {name: DeltaTable(repo / DATA_FOLDER / name).version() for name in landed}
    assert [landing.landed for landing in land(repo, NOON + timedelta(hours=1))] == [0, 0, 0]
    assert {name: DeltaTable(repo / DATA_FOLDER / name).version() for name in landed} == versions


def test_a_flight_arrives_when_its_outcome_is_known(tmp_path: Path) -> None:
    early = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)
    first = {landing.table: landing for landing in land(tmp_path, early)}
    assert 0 < first["flights"].landed < 336_776
    later = {landing.table: landing for landing in land(tmp_path, NOON)}
    assert later["flights"].landed == 336_776 - first["flights"].landed
    assert later["flights"].total == 336_776


def test_only_whole_days_are_marked(repo: Path, landed: dict[str, Landing]) -> None:
    arrived = sorted(path.parent.name for path in (repo / DATA_FOLDER / "arrived").rglob("_SUCCESS"))
    assert arrived == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert len(arrived) == INTERVALS


def test_the_calendar_is_fixed_by_the_first_landing(repo: Path, landed: dict[str, Landing]) -> None:
    stored = json.loads((repo / DATA_FOLDER / "replay.json").read_text())
    replay = Replay(last_day=datetime(2026, 11, 22, tzinfo=UTC).date())
    assert stored == {"last_day": "2026-11-22", "steps": INTERVALS}
    assert replay.first_step == datetime(2026, 11, 20, tzinfo=UTC)


def test_values_are_the_real_ones(repo: Path, landed: dict[str, Landing]) -> None:
    flights = DeltaTable(repo / DATA_FOLDER / "flights").to_pandas(
        columns=["tailnum", "cancelled", "late", "distance", "event_timestamp", "scheduled_departure"]
    )
    assert int(flights.tailnum.isna().sum()) == 2_512
    assert int(flights.cancelled.sum()) == 8_255
    assert int(flights.late.isna().sum()) == 9_430
    assert (flights.distance.min(), flights.distance.max()) == (17.0, 4_983.0)
    cancelled = flights[flights.cancelled == 1]
    assert (cancelled.event_timestamp == cancelled.scheduled_departure).all()
