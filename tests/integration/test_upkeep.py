"""Upkeep of a project's tables: nothing is sent again, and nothing deleted that is still needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import utc_now
from featurestore.runtime.results import JobResult, UpkeepResult
from featurestore.runtime.upkeep import upkeep_views
from featurestore.settings import UpkeepSettings
from featurestore.stores.delta_files import DeltaFiles
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import STATS, day

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.timeout(600)]

VIEW = "ride_stats"
AT_ONCE = UpkeepSettings(min_small_files=2, retention_days=0)
"""Merges two files, deletes whatever was replaced: shorter than settings allow."""


@pytest.fixture(scope="module")
def template(project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]) -> Project:
    """Two days are published, two more committed only; stopped, so that it can be copied."""
    project = project_maker(definitions=STATS)
    store = store_opener(project, Clock(utc_now()))
    store.apply()
    assert store.backfill(VIEW, day(0), day(2), steps_per_run=1).exit_code is ExitCode.DONE
    commit_only(store)
    store.close()
    project.redis.stop()
    return project


def commit_only(store: FeatureStore) -> None:
    from featurestore.plan.stages import ComputeStage
    from featurestore.runtime.execute import execute
    from featurestore.runtime.request import WorkOptions, bounds_of, plan_request

    stages = plan_request(store.runtime, [VIEW], bounds_of(day(2), day(4)), WorkOptions(steps_per_run=1))
    result = execute(store.runtime, [stage for stage in stages if isinstance(stage, ComputeStage)], views=[VIEW])
    assert result.exit_code is ExitCode.DONE


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Iterator[Project]:
    copy = template.copy(tmp_path / "repo")
    copy.redis.start()
    yield copy
    copy.redis.stop()


@pytest.fixture
def store(project: Project, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    return keep_at_once(store_opener(project, Clock(utc_now())))


def keep_at_once(store: FeatureStore) -> FeatureStore:
    store.runtime.settings = replace(store.runtime.settings, upkeep=AT_ONCE)
    return store


def kept(result: JobResult, number: int = 0) -> UpkeepResult:
    """Give what came of the view's table, or of (1) the tile table that goes with it."""
    (view,) = result.views
    assert view.error is None, view.error
    assert len(view.upkeep) == 2
    return view.upkeep[number]


def table_of(store: FeatureStore) -> Path:
    return Path(store.runtime.offline.path(store.manifest.stored_view(VIEW)))


def answers(store: FeatureStore) -> Mapping[str, Any]:
    found = store.get_online_features([f"{VIEW}:distance_2d", f"{VIEW}:rides_1d"], {"driver_id": [1, 2, 3, 4]})
    return found.to_dict()


def sent(store: FeatureStore) -> int:
    (view,) = store.publish([VIEW]).views
    assert view.published is not None
    return view.published.sent


def test_upkeep_sends_nothing_again_and_keeps_what_the_next_publication_reads(
    project: Project, store: FeatureStore
) -> None:
    waiting = store.runtime.offline.rows_after(store.manifest.stored_view(VIEW), marker_version(store))
    rows, files = table_rows(store, VIEW), len(DeltaFiles(str(table_of(store))).sizes())
    first = kept(upkeep_views(store.runtime))
    assert (first.files_removed, first.files_added, first.files_deleted) == (files, 1, 0)
    # The files are replaced but needed: the next publication reads them by the change feed.
    second = kept(upkeep_views(store.runtime))
    assert not second.step.compaction.pays and not second.step.vacuum.pays
    assert "4 files were replaced more than 0s ago, but those replaced since" in second.step.vacuum.reason
    assert second.step.vacuum.reason.endswith("publish ride_stats first")
    touched = {row["driver_id"] for row in rows if row["event_timestamp"] > day(2)}
    assert (sent(store), waiting > 0) == (len(touched), True)
    assert sent(store) == 0
    before = answers(store)

    third = kept(upkeep_views(store.runtime))
    assert third.files_deleted == files
    assert len(list(table_of(store).glob("*.parquet"))) == len(DeltaFiles(str(table_of(store))).sizes()) == 1
    assert kept(upkeep_views(store.runtime)).step.is_due is False
    assert upkeep_views(store.runtime).exit_code is ExitCode.NOTHING_TO_DO
    assert (sent(store), answers(store), table_rows(store, VIEW)) == (0, before, rows)

    coverage = store.runtime.ledger.coverage(VIEW, 1)
    node = store.manifest.stored_view(VIEW)
    rebuilt = store.runtime.ledger.rebuild(VIEW, 1, store.runtime.offline.commits(node), now=utc_now())
    assert (rebuilt.added, rebuilt.removed, store.runtime.ledger.coverage(VIEW, 1)) == (0, 0, coverage)
    # A Redis that lost everything gets it from the compacted table.
    for key in project.online_values():
        store.runtime.online.delete([key])
    assert sent(store) == len({row["driver_id"] for row in rows})
    assert answers(store) == before


def marker_version(store: FeatureStore) -> int:
    from featurestore.codec.keys import marker_key
    from featurestore.codec.pointer import Marker

    node = store.manifest.stored_view(VIEW)
    project_id = store.runtime.online.project_id(store.runtime.settings.project)
    stored = store.runtime.online.read([marker_key(project_id, node.storage_id)])[0]
    assert stored is not None
    return Marker.from_bytes(stored).delta_version


def test_a_dry_run_says_what_and_why_and_starts_no_spark(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(settings: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr("featurestore.runtime.session.open_session", refuse)
    with project.open(utc_now, None) as alone:
        quiet = upkeep_views(alone.runtime)
        assert (
            quiet.views[0]
            .upkeep[0]
            .step.compaction.reason.endswith("4 of 4 files are below 64 MiB; from 16 on they are merged")
        )
        told = upkeep_views(keep_at_once(alone).runtime, dry_run=True)
    table = kept(told)
    assert (told.exit_code, table.is_dry_run) == (ExitCode.DONE, True)
    assert table.step.compaction.pays
    assert "done" not in table.to_dict()
