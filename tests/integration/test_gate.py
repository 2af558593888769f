"""A day of bad data: the gate holds, nothing passes it, and the days after recover once the data is mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import Interval
from tests.support.project import Clock, Project, error_of, table_rows
from tests.support.rides import CORE, RIDES, day, ride

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

BAD_DAY = Interval(day(1), day(2))
BAD_RIDES = (
    ride(1, day(1, hour=8), -4.0, 5),
    ride(None, day(1, hour=9), 3.0, 5),
    ride(2, day(1, hour=10), 3.0, 90),
)
RULES = {
    ("expect_column_values_to_be_between", "distance"),
    ("expect_column_values_to_not_be_null", "driver_id"),
    ("expect_column_values_to_be_between", "rating_2d"),
}


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    return project_maker(definitions=CORE, rides=[*RIDES, *BAD_RIDES])


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(day(3, hour=1))


@pytest.fixture(scope="module")
def store(project: Project, clock: Clock, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    opened = store_opener(project, clock)
    opened.apply()
    return opened


@pytest.fixture(scope="module")
def refused(store: FeatureStore) -> Mapping[str, Any]:
    """Ask for three days of which the second is bad; give the refused view's error."""
    result = store.materialize_incremental(day(3))
    assert result.exit_code is ExitCode.REFUSED, result.to_line()
    assert error_of(result, "tips")["type"] == "InputNotReady"
    return error_of(result, "ride_stats")


def test_the_gate_names_rules_rows_and_report(refused: Mapping[str, Any]) -> None:
    assert refused["type"] == "GateRefused"
    assert {(failure["expectation"], failure["column"]) for failure in refused["failures"]} == RULES
    by_column = {failure["column"]: failure for failure in refused["failures"]}
    assert "-4.0" in str(by_column["distance"]["sample"])
    assert Path(refused["report"]).is_file()


def test_the_good_day_before_is_committed_and_published(refused: Mapping[str, Any], store: FeatureStore) -> None:
    for view in ("ride_stats", "tips"):
        assert {row["event_timestamp"] for row in table_rows(store, view)} == {day(1)}
    answer = store.get_online_features(["ride_stats:distance_2d", "tips:tip"], [{"driver_id": 1}])
    assert answer.to_dict() == {"driver_id": [1], "distance_2d": [30.0], "tip": [5.0]}
    assert answer.event_timestamps["distance_2d"] == [day(1)]


def test_ledger_and_status_say_why(refused: Mapping[str, Any], store: FeatureStore) -> None:
    (run,) = store.runtime.ledger.runs("ride_stats", 1, BAD_DAY)
    assert (run.state, run.error["rule"]) == ("refused", refused["rule"])
    status = store.status()["views"]["ride_stats"]
    assert status["last_error"]["interval"] == str(BAD_DAY)
    assert [part[0] for part in status["missing_intervals"]] == ["2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"]


def test_a_later_day_is_not_computed_over_the_bad_rows(
    refused: Mapping[str, Any], store: FeatureStore, project: Project
) -> None:
    before = project.online_values()
    result = store.materialize(day(2), day(3), ["ride_stats"])
    assert result.exit_code is ExitCode.RETRY_LATER, result.to_line()
    assert str(BAD_DAY) in error_of(result, "ride_stats")["message"]
    assert store.status()["views"]["ride_stats"]["covered"] == [["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]]
    assert project.online_values() == before


def test_once_mended_the_next_run_recovers_both_days(
    refused: Mapping[str, Any], store: FeatureStore, project: Project
) -> None:
    DeltaTable(project.root / "data/rides").delete("distance < 0 OR driver_id IS NULL OR rating > 5")
    result = store.materialize_incremental(day(3))
    assert result.exit_code is ExitCode.DONE, result.to_line()
    status = store.status()["views"]["ride_stats"]
    assert (status["missing_intervals"], status["last_error"]) == ([], None)
    answer = store.get_online_features(["ride_stats:distance_2d", "tips:tip"], [{"driver_id": 1}, {"driver_id": 3}])
    assert answer.to_dict() == {"driver_id": [1, 3], "distance_2d": [30.0, 7.5], "tip": [3.0, 1.75]}
