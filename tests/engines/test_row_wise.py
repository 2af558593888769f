"""Row-wise code that looks back: whatever the split of a range into runs, each step is what it is by itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from featurestore.ir.nodes import CodeRef, FunctionTransformation, SqlTransformation
from featurestore.spec.dtypes import Int64
from tests.support.engine_runs import CREATED, compute, engine_of, file_source, instant, view_of, write_events

pytestmark = pytest.mark.spark

LOOKBACK = timedelta(hours=30)
DAYS = range(2, 8)
SPLITS = (((2, 8),), ((7, 8), (2, 4), (4, 7)), tuple((day, day + 1) for day in DAYS))
TYPES = {"before": Int64, "seen": Int64}
SQL = """SELECT k, ts,
  lag(n) OVER (PARTITION BY k ORDER BY ts) AS before,
  count(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL 30 HOURS PRECEDING AND CURRENT ROW) AS seen
FROM {events}"""


def neighbours(events: DataFrame) -> DataFrame:
    by_key = Window.partitionBy("k").orderBy("ts")
    seconds = Window.partitionBy("k").orderBy(F.unix_micros("ts")).rangeBetween(-30 * 3600 * 1_000_000, 0)
    return events.select(
        "k", "ts", F.lag("n").over(by_key).alias("before"), F.count(F.lit(1)).over(seconds).alias("seen")
    )


def history() -> list[tuple[Any, ...]]:
    """Rows on the edges of steps and of the lookback, and between, each instant of a key once."""
    random = Random(7)
    edges = [instant(f"0{day}") + nudge for day in range(1, 9) for nudge in (timedelta(0), -LOOKBACK, LOOKBACK)]
    times = [edge + timedelta(microseconds=random.choice([-1, 0, 1])) for edge in edges]
    times += [instant("01") + timedelta(minutes=random.randrange(9 * 1440)) for _ in range(60)]
    return [
        (key, at, number, None, None)
        for key in (1, 2, 3)
        for number, at in enumerate(sorted(set(random.sample(times, 30 if key < 3 else 4))))
    ]


def oracle(rows: list[tuple[Any, ...]]) -> list[tuple[int, datetime, int | None, int]]:
    found = []
    for day in DAYS:
        start, end = instant(f"0{day}"), instant(f"0{day + 1}")
        for key, at, *_ in rows:
            if start <= at < end:
                seen = sorted((t, n) for k, t, n, *_ in rows if k == key and start - LOOKBACK <= t <= at)
                within = [t for t, _ in seen if at - LOOKBACK <= t]
                found.append((key, at, seen[-2][1] if len(seen) > 1 else None, len(within)))
    return sorted(found, key=lambda row: row[:2])


@pytest.mark.parametrize("kind", ["sql", "function"])
def test_any_split_gives_each_step_its_own_lookback(kind: str, spark: SparkSession, tmp_path: Path) -> None:
    rows = history()
    write_events(tmp_path, rows)
    code = CodeRef(path=f"{__name__}:neighbours", digest="d")
    transformation = (
        SqlTransformation(text=SQL, per="row", lookback=LOOKBACK)
        if kind == "sql"
        else FunctionTransformation(code=code, per="row", lookback=LOOKBACK)
    )
    node, view = file_source(), view_of(TYPES, transformation)
    engine = engine_of(spark, tmp_path, node)
    expected = oracle(rows)
    assert any(before is None for *_, before, _ in expected) and len({seen for *_, seen in expected}) > 3
    for split in SPLITS:
        found, created = [], {}
        for start, end in split:
            step = compute(engine, view, f"0{start}", f"0{end}", node)
            for row in step.rows.toArrow().to_pylist():
                found.append((row["k"], row["event_timestamp"], row["before"], row["seen"]))
                created[row["event_timestamp"].date()] = row["created_timestamp"]
            assert (step.event_range.start, step.event_range.end) == (instant(f"0{start}"), instant(f"0{end}"))
        assert sorted(found, key=lambda row: row[:2]) == expected, split
        assert len(created) == len(DAYS)


def test_rows_of_a_run_are_created_when_their_own_steps_are(spark: SparkSession, tmp_path: Path) -> None:
    write_events(tmp_path, history())
    code = SqlTransformation(text="SELECT k, ts, n AS before FROM {events}", per="row", lookback=None)
    node, engine = file_source(), engine_of(spark, tmp_path, file_source())
    daily, unscheduled = view_of({"before": Int64}, code), view_of({"before": Int64}, code, schedule=None)
    for view in (daily, unscheduled):
        for row in compute(engine, view, "02", "08", node).rows.toArrow().to_pylist():
            day = row["event_timestamp"].replace(hour=0, minute=0, second=0, microsecond=0)
            end = day + timedelta(days=1) if view is daily else instant("08")
            assert row["created_timestamp"] - end == CREATED - instant("08")
