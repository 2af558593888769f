"""The whole path on data that can be checked by hand: definitions, Delta, gate, Redis, lookups and training sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.errors import ExitCode
from tests.support.project import Clock, Project
from tests.support.rides import SERVICE, day, expected_score

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

VIEWS = ("ride_stats", "ride_profile", "longest_ride", "last_hour", "tips")
NOW = day(3, hour=1)


def rows(served: FeatureStore, view: str, *columns: str) -> list[tuple[Any, ...]]:
    """Read a view's current rows as (driver, day of the event time, columns…), sorted."""
    table = served.read_offline(view).to_arrow().to_pylist()
    return sorted(
        (r["driver_id"], (r["event_timestamp"] - day(0)) / timedelta(days=1), *(r[c] for c in columns)) for r in table
    )


def versions(served: FeatureStore) -> Mapping[str, int | None]:
    runtime = served.runtime
    return {view: runtime.offline.latest_version(runtime.manifest.stored_view(view)) for view in VIEWS}


def lookup(served: FeatureStore) -> Any:
    return served.get_online_features(SERVICE, [{"driver_id": driver, "planned": 1.5} for driver in (3, 1, 2, 9)])


def test_delta_holds_the_values_worked_out_by_hand(served: FeatureStore) -> None:
    assert rows(served, "ride_stats", "distance_2d", "rides_1d", "rating_2d") == [
        (1, 1.0, 30.0, 2, 4.5),
        (1, 2.0, 60.0, 1, 4.0),
        (1, 3.0, 30.0, 0, 3.0),
        (2, 1.0, 5.0, 1, None),
        (2, 2.0, 5.0, 0, None),
        (2, 3.0, None, 0, None),
        (3, 3.0, 7.5, 1, 2.0),
    ]
    assert [row[2:] for row in rows(served, "ride_profile", "city", "seats")] == [
        ("Oslo", 4),
        ("Bonn", 7),
        ("Rome", None),
    ]
    assert rows(served, "longest_ride", "longest") == [
        (1, 1.0, 20.0),
        (1, 2.0, 30.0),
        (1, 3.0, 30.0),
        (2, 1.0, 5.0),
        (2, 2.0, 5.0),
        (3, 3.0, 7.5),
    ]
    assert rows(served, "last_hour", "last_hour") == [(1, 1.0, 18), (1, 2.0, 7), (2, 1.0, 9), (3, 3.0, 12)]


def test_one_lookup_gives_values_statuses_and_ages(served: FeatureStore) -> None:
    response = lookup(served)
    assert response.to_dict() == {
        "driver_id": [3, 1, 2, 9],
        "distance_2d": [7.5, 30.0, None, None],
        "rides_1d": [1, 0, 0, None],
        "rating_2d": [2.0, 3.0, None, None],
        "city": [None, "Bonn", "Rome", None],
        "seats": [None, 7, None, None],
        "longest": [7.5, 30.0, 5.0, None],
        "last_hour": [12, 7, 9, None],
        "load": [9.0, 31.5, None, None],
        "tip": [expected_score(7.5, 1), expected_score(30.0, 0), expected_score(None, 0), None],
    }
    assert response.statuses["distance_2d"] == ["PRESENT", "PRESENT", "NULL_VALUE", "NOT_FOUND"]
    assert response.statuses["seats"] == ["NOT_FOUND", "PRESENT", "NULL_VALUE", "NOT_FOUND"]
    hour = timedelta(hours=1)
    assert response.ages["rides_1d"] == [hour, hour, hour, None]
    assert response.ages["longest"] == [hour, hour, hour + timedelta(days=1), None]


def test_predictions_come_from_the_cache(served: FeatureStore) -> None:
    hour = timedelta(hours=1)
    assert lookup(served).predictions == {
        "tips": [
            ("CACHED", hour, "1", day(3)),
            ("CACHED", hour, "1", day(3)),
            ("CACHED", hour, "1", day(3)),
            ("MISSING", None, None, None),
        ]
    }


@pytest.mark.parametrize("availability", ["event", "scheduled", "actual"])
def test_a_training_set_sees_what_serving_saw(served: FeatureStore, availability: Any) -> None:
    drivers = [3, 1, 2, 9]
    spine = pa.table({"driver_id": drivers, "event_timestamp": [NOW] * 4, "planned": [1.5] * 4})
    found = served.get_historical_features(spine, SERVICE, availability=availability).to_arrow().to_pydict()
    served = lookup(served).to_dict()
    assert {name: found[name] for name in served} == dict(served)


def test_a_second_run_does_nothing(served: FeatureStore) -> None:
    before = versions(served)
    result = served.materialize_incremental(NOW)
    assert result.exit_code is ExitCode.NOTHING_TO_DO
    assert [(view.rows, view.published.sent if view.published else None) for view in result.views] == [(0, 0)] * 5
    assert versions(served) == before


def test_a_step_without_rows_is_done(served: FeatureStore) -> None:
    assert not served.missing_intervals("ride_profile", day(0), day(3))
    runtime = served.runtime
    runs = runtime.ledger.runs("ride_profile", 1)
    assert [(run.state, run.counts["rows_appended"]) for run in runs] == [("done", 2), ("done", 0), ("done", 1)]


def markers(served: FeatureStore) -> list[Marker]:
    """Read the publication markers but for their Delta versions: three steps in one run are one commit, alone three."""
    runtime = served.runtime
    project_id = runtime.online.project_id(runtime.settings.project)
    keys = [marker_key(project_id, runtime.manifest.stored_view(view).storage_id) for view in VIEWS]
    return [replace(Marker.from_bytes(value or b""), delta_version=0) for value in runtime.online.read(keys)]


def test_all_at_once_equals_step_by_step(
    served: FeatureStore,
    rides: Project,
    project_maker: Callable[..., Project],
    store_opener: Callable[..., FeatureStore],
) -> None:
    other = project_maker(package=rides.package)
    at_once = store_opener(other, Clock(NOW))
    at_once.apply()
    assert at_once.materialize(day(0), day(3)).exit_code is ExitCode.DONE
    for view in VIEWS:
        tables = [
            s.read_offline(view).to_arrow().sort_by([("driver_id", "ascending"), ("event_timestamp", "ascending")])
            for s in (served, at_once)
        ]
        assert tables[0].equals(tables[1]), view
    assert markers(at_once) == markers(served)
    both = [{k: v for k, v in p.online_values().items() if b":marker:" not in k} for p in (other, rides)]
    assert both[0] == both[1]
