"""How old a view is told to be: from ledger, pointer record and statistics, without a look at the data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from featurestore.codec.keys import pointer_key
from featurestore.codec.pointer import Pointer, ViewPointer
from featurestore.intervals import Interval, to_micros
from featurestore.ir.columns import table_location
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, ViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.freshness import ViewFreshness, project_freshness
from featurestore.runtime.status import project_status
from featurestore.settings import Settings
from featurestore.stores.base import CommitRecord, PublicationRecord
from featurestore.stores.time_bounds import delta_bounds, source_watermark
from tests.support.nodes import START, clicks, plain_view

DAY = timedelta(days=1)
NOW = START + 3 * DAY + timedelta(hours=6)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RuntimeContext]:
    opened = RuntimeContext(Settings(repo=tmp_path, project="shop", online_type="memory"), clock=lambda: NOW)
    yield opened
    opened.close()


def applied(context: RuntimeContext, **options: Any) -> ViewNode:
    """Record a view and give it with its version."""
    view = plain_view(**options)
    manifest = context.registry.record(
        Manifest(project="shop", views={view.name: view}, sources={"clicks": clicks()}), now=NOW
    )
    return manifest.views[view.name]


def write_rows(path: Path, column: str, *instants: datetime) -> None:
    """Append one file of rows to a Delta table."""
    table = pa.table({column: pa.array(instants, pa.timestamp("us", "UTC")), "n": list(range(len(instants)))})
    write_deltalake(path, table, mode="append")


def compute(context: RuntimeContext, view: ViewNode, interval: Interval) -> None:
    """Have a step done in the ledger."""
    context.ledger.finish(
        CommitRecord(
            run_id=str(interval),
            view=view.name,
            version=view.version,
            interval=interval,
            generation=1,
            fingerprint=view.fingerprint,
            created=interval.end,
            inputs={},
            counts={},
            delta_version=0,
        ),
        now=NOW,
    )


def publish(context: RuntimeContext, view: ViewNode, until: datetime) -> None:
    """Have the view's rows published up to an instant, and readers told so."""
    context.ledger.record_publication(
        PublicationRecord(
            view=view.name,
            version=view.version,
            delta_version=1,
            covered_until=until,
            sent=1,
            ignored=0,
            bytes_sent=1,
            published_at=NOW,
        )
    )
    pointed = ViewPointer(version=view.version, storage_id=view.storage_id, covered_until_us=to_micros(until))
    pointer = Pointer(project="shop", project_id=1, generation=1, views={view.name: pointed})
    context.online.put_record(pointer_key("shop"), pointer.to_bytes())


def seen(context: RuntimeContext) -> ViewFreshness:
    return project_freshness(context)["plain"]


def test_a_view_that_was_never_computed_is_missing_and_not_fresh(context: RuntimeContext) -> None:
    applied(context, freshness=timedelta(hours=26))
    found = seen(context)
    assert found.missing == tuple(Interval(START + n * DAY, START + (n + 1) * DAY) for n in range(3))
    assert (found.covered_until, found.served_until, found.newest_event, found.watermark) == (None,) * 4
    assert (found.is_fresh, found.age, found.lag) == (False, None, None)


def test_ages_come_from_ledger_pointer_and_statistics_alone(context: RuntimeContext, tmp_path: Path) -> None:
    view = applied(context, freshness=timedelta(hours=26))
    table = Path(context.settings.offline_root) / table_location(view)
    write_rows(table, "event_timestamp", START + timedelta(hours=1), START + timedelta(hours=9))
    write_rows(table, "event_timestamp", START + timedelta(hours=30))
    write_rows(tmp_path / "data" / "clicks", "ts", START, START + 2 * DAY)
    for folder in (table, tmp_path / "data" / "clicks"):
        for file in folder.glob("*.parquet"):
            file.unlink()  # whoever reads data would fail
    compute(context, view, Interval(START, START + DAY))
    compute(context, view, Interval(START + DAY, START + 2 * DAY))
    publish(context, view, START + DAY)
    found = seen(context)
    assert (found.newest_event, found.oldest_event) == (START + timedelta(hours=30), START + timedelta(hours=1))
    assert (found.newest_age, found.oldest_age) == (timedelta(hours=48), timedelta(hours=77))
    assert found.watermark == START + 2 * DAY
    assert (found.covered_until, found.published_until, found.served_until) == (
        START + 2 * DAY,
        START + DAY,
        START + DAY,
    )
    assert found.missing == (Interval(START + 2 * DAY, START + 3 * DAY),)
    assert (found.age, found.lag, found.is_fresh) == (timedelta(hours=30), timedelta(hours=4), False)


def test_within_its_objective_a_view_does_not_lag_and_without_one_it_is_not_judged(context: RuntimeContext) -> None:
    view = applied(context, freshness=timedelta(hours=48))
    compute(context, view, Interval(START, START + 2 * DAY))
    assert (seen(context).is_fresh, seen(context).lag) == (True, timedelta(0))
    context.reload()
    applied(context, freshness=None)
    assert (seen(context).is_fresh, seen(context).lag) == (None, None)


def test_status_has_the_same_as_json_values(context: RuntimeContext) -> None:
    view = applied(context, freshness=timedelta(hours=26))
    compute(context, view, Interval(START, START + DAY))
    status = project_status(context)["views"]["plain"]
    assert status["age_seconds"] == 54 * 3600
    assert status["objective_seconds"] == 26 * 3600
    assert status["lag_seconds"] == 28 * 3600
    assert (status["fresh"], status["covered_until"]) == (False, "2026-01-02T00:00:00Z")
    assert status["missing_intervals"] == [
        ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
        ["2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"],
    ]
    assert {"oldest_event", "newest_age_seconds", "watermark", "served_until", "last_error"} <= set(status)


def test_statistics_that_do_not_know_the_column_give_no_bounds(tmp_path: Path) -> None:
    assert delta_bounds(str(tmp_path / "absent"), "ts") is None
    write_deltalake(tmp_path / "t", pa.table({"n": [1]}))
    assert delta_bounds(str(tmp_path / "t"), "ts") is None
    write_deltalake(tmp_path / "nulls", pa.table({"ts": pa.array([None], pa.timestamp("us", "UTC"))}))
    assert delta_bounds(str(tmp_path / "nulls"), "ts") is None


def test_a_parquet_source_reaches_as_far_as_its_files_footers_say(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    for number in range(3):
        instants = pa.array([datetime(2026, 1, 1 + number, tzinfo=UTC)], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"at": instants}), folder / f"{number}.parquet")
    source = FileSourceNode(
        name="events",
        path=str(folder),
        format="parquet",
        timestamp_field="ts",
        field_mapping=(("at", "ts"),),
        schema=(),
    )
    assert source_watermark(source, str) == datetime(2026, 1, 3, tzinfo=UTC)
    query = DeltaSourceNode(name="q", path=None, table="t", timestamp_field="ts", schema=())
    assert source_watermark(query, str) is None
