"""Late and corrected rows: only what they touch is computed again, and nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from featurestore.intervals import Interval, show_instant
from featurestore.plan.stages import RepairStage
from featurestore.runtime.late_data import repair_view
from featurestore.runtime.results import ViewResult
from tests.support.late_rides import LateRides, SourceKind
from tests.support.project import Clock, Project, table_rows
from tests.support.rides import RIDES, day, expected_score, ride
from tests.support.work import count_jobs

pytestmark = [pytest.mark.spark, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "late-data.md"
DAYS = 4
CHAIN = """
weekly = BatchFeatureView(
    name="weekly",
    entities=[driver],
    source=ride_stats[["rides_1d"]],
    aggregations=[Aggregation(column="rides_1d", function="max", window=3 * DAY, name="busiest")],
    online=False,
    **DAILY,
)
longest = BatchFeatureView(
    name="longest",
    entities=[driver],
    sources=[rides, DeltaSource(name="drivers", path="data/drivers")],
    sql="SELECT driver_id, team, max(distance) AS longest FROM {rides} JOIN {drivers} USING (driver_id) GROUP BY ALL",
    schema=[Field(name="longest", dtype=Float64), Field(name="team", dtype=String)],
    online=False,
    **DAILY,
)
tips = PredictionView(
    name="tips",
    entities=[driver],
    features=ride_stats[["distance_2d", "rides_1d"]],
    model=Model(name="tip", version="1", load="PACKAGE.model:load"),
    outputs=[Field(name="tip", dtype=Float64)],
    max_age=timedelta(hours=30),
    start=DAILY["start"],
    schedule="@daily",
)
"""


def covered(
    maker: Callable[..., Project],
    opener: Callable[..., FeatureStore],
    kind: SourceKind,
    **options: Any,
) -> tuple[LateRides, FeatureStore, Clock]:
    """Make a project with DAYS daily steps done."""
    source = LateRides.of(maker, kind, RIDES, **options)
    clock = Clock(day(DAYS, hour=1))
    store = opener(source.project, clock)
    store.apply()
    assert store.materialize_incremental(clock.now).exit_code is ExitCode.DONE
    return source, store, clock


def run(store: FeatureStore, clock: Clock, view: str = "ride_stats") -> ViewResult:
    """Ask for what is missing, an hour later; give what came of one view."""
    clock.now += timedelta(hours=1)
    result = store.materialize_incremental(clock.now, [view])
    assert result.exit_code in (ExitCode.DONE, ExitCode.NOTHING_TO_DO), result.to_line()
    return next(one for one in result.views if one.view == view)


def late_changes(store: FeatureStore) -> list[dict[str, Any]]:
    """Give what ``status`` tells of changed inputs."""
    changes: list[dict[str, Any]] = store.status()["views"]["ride_stats"]["late_changes"]
    return changes


def appended(store: FeatureStore, view: str, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in table_rows(store, view) if row not in before]


def test_late_rows_cost_their_keys_and_steps_and_older_ones_are_told_until_they_are_repaired(
    project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]
) -> None:
    source, store, clock = covered(project_maker, store_opener, "feed", more="", late_data="3 * DAY")
    before = table_rows(store, "ride_stats")
    source.add([ride(2, day(1, hour=5), 2.5, 1), ride(4, day(0, hour=5), 1.5, 1)])
    (unseen,) = late_changes(store)
    assert (unseen["checked"], unseen["older"], unseen["rows"]) == (False, True, 2)
    assert unseen["message"].startswith("at most 2 rows of rides from 2026-03-01T05:00:00Z")

    found = run(store, clock)
    new = appended(store, "ride_stats", before)
    # In the 2-day window at the ends of days 1 and 2, out of it at the end of day 3.
    assert [(row["driver_id"], row["event_timestamp"], row["distance_2d"]) for row in new] == [
        (2, day(2), 7.5),
        (2, day(3), 2.5),
        (2, day(4), None),
    ]
    assert {(row["created_timestamp"], row["is_deleted"]) for row in new} == {(clock.now, False)}
    assert [one.interval for one in found.intervals] == [Interval(day(1), day(4))], "one run for all steps"
    assert found.intervals[0].counts["rows_read"] == 2, "driver 2's rows and no others"
    assert found.published is not None and found.published.sent == 1

    text = (
        "1 row of rides at 2026-03-01T05:00:00Z changed after 3 steps had read them, "
        "older than late_data (3d): run `featurestore repair ride_stats`"
    )
    (left,) = late_changes(store)
    assert left == {
        "input": "rides",
        "from": show_instant(day(0, hour=5)),
        "until": "2026-03-01T05:00:00.000001Z",
        "rows": 1,
        "steps": 3,
        "older": True,
        "checked": True,
        "repair": "featurestore repair ride_stats",
        "message": text,
    }
    assert f"ride_stats: {text}" in store.plan().warnings
    assert f"ride_stats late: {text}" in PAGE.read_text(encoding="utf-8")

    jobs = count_jobs(store.runtime.spark)
    assert repair_view(store.runtime, RepairStage(view="ride_stats")) == []
    assert jobs() == 0
    source.add([ride(2, day(DAYS, hour=5), 2.5, 1)])
    assert repair_view(store.runtime, RepairStage(view="ride_stats")) == []
    assert jobs() == 0, "events after the coverage are told by statistics"
    assert late_changes(store) == [left]

    assert f"ride_stats late: {text}" in source.project.run("status").stdout
    done = source.project.run("repair", "ride_stats", "--json", spark=store.runtime.spark)
    assert done.returncode == 0, done.stderr
    repaired = json.loads(done.stdout)["views"]["ride_stats"]
    assert (repaired["outcome"], repaired["rows"]) == ("done", 3)
    assert late_changes(store) == []


def test_files_that_are_written_over_are_scanned_again_within_late_data(
    project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore]
) -> None:
    source, store, clock = covered(project_maker, store_opener, "files", more="", late_data="DAY")
    before = table_rows(store, "ride_stats")
    source.change([RIDES[0]], [ride(3, day(DAYS - 1, hour=5), 2.5, 1)])
    assert [one.interval for one in run(store, clock).intervals] == [Interval(day(DAYS - 1), day(DAYS))]
    assert {row["driver_id"] for row in appended(store, "ride_stats", before)} == {3}
    (left,) = late_changes(store)
    assert left["message"].startswith("rows of rides from 2026-02-27T00:00:00Z to 2026-03-03T23:59:59.999999Z changed")
    assert "(its file 000.parquet was written over)" in left["message"]
    assert store.repair("ride_stats").views[0].rows == 2, "driver 1's on the first two days"
    assert late_changes(store) == []


def test_views_of_views_queries_dimensions_and_predictions(
    project_maker: Callable[..., Project], store_opener: Callable[..., FeatureStore], tmp_path: Path
) -> None:
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    source = LateRides.of(project_maker, "feed", RIDES, more=CHAIN)
    drivers = source.project.root / "data" / "drivers"
    write_deltalake(drivers, pa.table({"driver_id": [1, 2, 3], "team": ["a", "a", "b"]}))
    clock = Clock(day(3, hour=1))
    store = store_opener(source.project, clock)
    store.apply()
    assert store.materialize_incremental(clock.now).exit_code is ExitCode.DONE
    before = {view: table_rows(store, view) for view in ("weekly", "longest")}
    source.add([ride(2, day(1, hour=5), 7.5, 1), ride(2, day(1, hour=6), 2.5, 1)])
    clock.now += timedelta(hours=1)
    result = {one.view: one for one in store.materialize_incremental(clock.now).views}
    changed = {view: appended(store, view, rows) for view, rows in before.items()}
    assert [(r["driver_id"], r["event_timestamp"], r["busiest"]) for r in changed["weekly"]] == [(2, day(3), 2)]
    assert [(r["driver_id"], r["event_timestamp"], r["longest"]) for r in changed["longest"]] == [(2, day(2), 7.5)]
    assert [one.interval for one in result["longest"].intervals] == [Interval(day(1), day(2))]
    DeltaTable(drivers).update(predicate="driver_id = 3", new_values={"team": "'c'"})
    found = run(store, clock, "longest")
    assert [one.interval for one in found.intervals] == [Interval(day(0), day(3))], "a dimension touches every step"
    assert found.rows == 1
    scored = store.materialize(day(2), day(3), ["tips"], repair=True).views[0]
    assert scored.rows == 1, "of the predictions at the end of day 2, driver 2's alone had other inputs"
    new = [row for row in table_rows(store, "tips") if row["created_timestamp"] >= clock.now]
    assert [(row["driver_id"], row["tip"]) for row in new] == [(2, expected_score(10.0, 0))]
