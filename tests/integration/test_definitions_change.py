"""Changed definitions: a new version beside the old one, served when its publication reaches as far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import STATS, day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

OLD, NEW = 60.0, 30.0
"""Driver 1's distance on day 2: the sum of two days, and the longest ride of them."""


@pytest.fixture(scope="module")
def project(project_maker: Callable[..., Project]) -> Project:
    return project_maker(definitions=STATS)


@pytest.fixture(scope="module")
def store(project: Project, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """A store with two steps of version 1 published."""
    opened = store_opener(project, Clock(day(2, hour=1)))
    opened.apply()
    assert opened.materialize_incremental(day(2)).exit_code is ExitCode.DONE
    return opened


def served(store: FeatureStore, view: str = "ride_stats") -> float | None:
    found: float | None = store.get_online_features([f"{view}:distance_2d"], [{"driver_id": 1}]).to_dict()[
        "distance_2d"
    ][0]
    return found


def test_who_owns_a_view_does_not_make_a_version(store: FeatureStore, project: Project) -> None:
    project.define(STATS.replace('owner="riders"', 'owner="drivers", description="Said anew."'))
    store.apply()
    view = store.manifest.views["ride_stats"]
    assert (view.version, view.owner) == (1, "drivers")
    assert store.materialize_incremental(day(2)).exit_code is ExitCode.NOTHING_TO_DO
    assert served(store) == OLD


def test_another_aggregation_is_built_beside_the_old_one(store: FeatureStore, project: Project) -> None:
    first = store.manifest.views["ride_stats"]
    before = table_rows(store, "ride_stats")
    project.define(STATS.replace('function="sum"', 'function="max"'))
    store.apply()
    assert store.manifest.views["ride_stats"].version == 2
    assert served(store) == OLD

    assert store.materialize(day(0), day(1)).exit_code is ExitCode.DONE
    assert served(store) == OLD
    assert store.materialize(day(1), day(2)).exit_code is ExitCode.DONE
    assert served(store) == NEW

    assert served(store, "ride_stats@1") == OLD
    rows = store.runtime.offline.rows(first).drop("computed_at").toArrow().to_pylist()
    assert sorted(map(str, rows)) == sorted(map(str, before))


def test_going_back_finds_the_old_data(store: FeatureStore, project: Project) -> None:
    project.define(STATS)
    store.apply()
    assert store.manifest.views["ride_stats"].version == 1
    assert store.materialize_incremental(day(2)).exit_code is ExitCode.NOTHING_TO_DO
    assert served(store) == OLD


def test_versions_share_tiles_which_go_with_the_last_of_them(store: FeatureStore) -> None:
    reads = [run.counts["rows_read"] for run in store.runtime.ledger.runs("ride_stats", 2)]
    assert reads == [3, 1], "another aggregation reads what it aggregates, each event once"
    (table,) = (Path(store.settings.offline_root) / "_tiles" / "rides").iterdir()
    assert store.gc() == []
    store.apply([])
    found = {(garbage.version, *garbage.tiles) for garbage in store.gc()}
    assert found == {(1, f"_tiles/rides/{table.name}"), (2, f"_tiles/rides/{table.name}")}
    store.gc(dry_run=False)
    assert not table.exists()
    assert store.gc() == []
