"""Generated clicks: the same arguments give the same events, at any size."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from definitions.web import events
from definitions.web.events import ClickStream, write_days

DAY = date(2026, 1, 1)


def test_events_are_seeded_by_day() -> None:
    stream = ClickStream(users=100, events_per_day=500)
    first, again = (pa.concat_tables(stream.day(DAY)) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(pa.concat_tables(stream.day(date(2026, 1, 2))))
    assert not first.equals(pa.concat_tables(ClickStream(users=100, events_per_day=500, seed=8).day(DAY)))


def test_events_lie_in_their_day_and_name_real_users() -> None:
    table = pa.concat_tables(ClickStream(users=50, events_per_day=2_000).day(DAY))
    times = table["event_timestamp"].cast(pa.timestamp("us")).to_numpy()
    assert {str(time)[:10] for time in times} == {"2026-01-01"}
    users = pc.min_max(table["user_id"]).as_py()
    assert 1 <= users["min"] <= users["max"] <= 50
    assert table["page_seconds"].null_count > 0


def test_a_large_day_comes_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BATCH_ROWS", 100)
    batches = list(ClickStream(users=10, events_per_day=250).day(DAY))
    assert [len(batch) for batch in batches] == [100, 100, 50]


def test_days_are_files_that_replace_themselves(tmp_path: Path) -> None:
    stream = ClickStream(users=10, events_per_day=30)
    assert write_days(stream, tmp_path, DAY, 2) == 60
    assert write_days(stream, tmp_path, DAY, 2) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-01-01.parquet", "2026-01-02.parquet"]
    assert pq.read_table(tmp_path).num_rows == 60
