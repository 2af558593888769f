"""Spark's tables and joins equal the oracle's, on generated histories, many of them in each Spark job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.engines.base import ComputeRequest
from featurestore.engines.reference.events import Key, events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, aggregate_rows, plain_rows
from featurestore.engines.spark.difference import rows_to_append
from featurestore.engines.spark.historical import ROW, point_in_time_join
from featurestore.engines.spark.statements import HistoricalLookup
from featurestore.intervals import Coverage, Interval
from featurestore.ir.columns import EVENT_TIMESTAMP, IS_DELETED
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode
from featurestore.spec.dtypes import Int64, Timestamp
from tests.support.agreement import answers_of, disagreements, feature_rows_of
from tests.support.engine_runs import engine_of, fields
from tests.support.histories import COLUMNS, KEYS, PREDICATES, SCENES, Scene, SourceRow, generate_histories
from tests.support.rows import make_table

pytestmark = [pytest.mark.spark, pytest.mark.slow]

Spine: TypeAlias = list[tuple[Key, datetime]]

CASES = 30
_MICROSECOND = timedelta(microseconds=1)


def from_catalogue(scene: Scene) -> Scene:
    """Read the events from a table of Spark's catalogue."""
    file = scene.source
    source = DeltaSourceNode(
        name=file.name,
        table="events_of",
        timestamp_field=file.timestamp_field,
        created_timestamp_column=file.created_timestamp_column,
        schema=file.schema,
    )
    return replace(scene, source=source)


LANDED = SCENES | {
    name: from_catalogue(SCENES[name]) for name in ("every 5 minutes, created times", "plain rows, created times")
}


@pytest.mark.parametrize("scene", LANDED.values(), ids=LANDED)
def test_tables_and_joins_equal_the_oracle(spark: SparkSession, tmp_path: Path, scene: Scene) -> None:
    """Runs of any split in any order, a re-run, then late and withdrawn rows and the repair of every run."""
    history = generate_histories(scene, CASES)
    before = [row for number, row in enumerate(history) if number % 4]
    after = [row for number, row in enumerate(history) if number % 7 != 3]
    repaired_at = scene.steps[-1]

    table = _store(spark, tmp_path / "table", _runs(spark, tmp_path / "before", scene, before))
    again = _differences(spark, tmp_path / "before", replace(scene, runs=scene.runs[-1:]), before, table, repaired_at)
    repair = _differences(spark, tmp_path / "after", scene, after, table, repaired_at)
    both = reduce(
        DataFrame.unionByName, [again.withColumn("again", F.lit(True)), repair.withColumn("again", F.lit(False))]
    )
    changes = both.toArrow()
    appended = changes.filter(pa.compute.invert(changes["again"]))
    assert len(appended) == len(changes), "a run over the same source rows appends nothing"
    repaired = table.unionByName(_store(spark, tmp_path / "repair", appended.drop_columns(["again"])))

    coverage, spine = Coverage.of(scene.runs), _spine(scene, history)
    features = tuple(feature.name for feature in scene.view.features)
    variants: list[tuple[DataFrame, dict[str, Any]]] = [
        (table, {}),
        (table, {"created_before_event": True}),
        (repaired, {}),
        (repaired, {"created_before_event": True}),
        (repaired, {"availability": "scheduled"}),
    ]
    lookups = [
        HistoricalLookup(
            view=scene.view,
            rows=rows,
            features=tuple((name, f"{name}_{number}") for name in (features if number in (0, 2) else features[:2])),
            coverage=coverage,
            **options,
        )
        for number, (rows, options) in enumerate(variants)
    ]
    found = _answers(spark, tmp_path / "spine", scene, spine, lookups)
    table_rows = feature_rows_of(scene.view, repaired.toArrow().to_pylist())
    stated = _oracle(scene, before)
    rows = [stated, stated, _oracle(scene, after), table_rows, table_rows]
    for number, (_, options) in enumerate(variants):
        expected = answers_of(scene.view, rows[number], spine, coverage, **options)
        assert disagreements(scene.view, spine, expected, found[number])[:3] == [], (number, options)


def _oracle(scene: Scene, rows: Sequence[SourceRow]) -> list[FeatureRow]:
    """Compute each covered stretch at once, from all rows there are."""
    events = events_by_key(scene.view, scene.source, rows)
    return [
        row
        for stretch in Coverage.of(scene.runs)
        for row in (
            aggregate_rows(scene.view, events, stretch, first=True, predicates=PREDICATES)
            if scene.view.is_aggregate
            else plain_rows(scene.view, events, stretch, created=stretch.end)
        )
    ]


def _computed(
    spark: SparkSession, folder: Path, scene: Scene, rows: Sequence[SourceRow], created: datetime | None = None
) -> list[tuple[DataFrame, Interval]]:
    """Give each run's rows and the range of event times that are its own."""
    folder.mkdir(exist_ok=True)
    source = _landed(spark, folder, scene.source, make_table(fields(COLUMNS), rows))
    engine = engine_of(spark, folder, source)
    pins = {source.name: engine.pin(source)}
    steps = [
        engine.compute(
            ComputeRequest(
                view=scene.view,
                interval=run,
                first=run.start in scene.starts,
                created=created or run.end + scene.view.data_delay,
                pins=pins,
                restated=created is not None,
            )
        )
        for run in scene.runs
    ]
    return [(step.rows, step.event_range) for step in steps]


def _landed(
    spark: SparkSession, folder: Path, source: FileSourceNode | DeltaSourceNode, events: pa.Table
) -> FileSourceNode | DeltaSourceNode:
    if isinstance(source, FileSourceNode):
        pq.write_table(events, folder / source.path)
        return source
    name = f"{source.table}_{folder.parent.name}_{folder.name}"
    write_deltalake(folder / "events", events, mode="overwrite")
    spark.sql(f"CREATE TABLE IF NOT EXISTS `{name}` USING delta LOCATION '{folder / 'events'}'")
    return replace(source, table=name)


def _runs(spark: SparkSession, folder: Path, scene: Scene, rows: Sequence[SourceRow]) -> pa.Table:
    frames = [frame for frame, _ in _computed(spark, folder, scene, rows)]
    return reduce(DataFrame.unionByName, frames).withColumn(IS_DELETED, F.lit(False)).toArrow()


def _differences(
    spark: SparkSession, folder: Path, scene: Scene, rows: Sequence[SourceRow], table: DataFrame, created: datetime
) -> DataFrame:
    at = F.col(EVENT_TIMESTAMP)
    return reduce(
        DataFrame.unionByName,
        [
            rows_to_append(
                frame,
                table.where((at >= F.lit(own.start)) & (at < F.lit(own.end))),
                view=scene.view,
                created=created,
            )
            for frame, own in _computed(spark, folder, scene, rows, created)
        ],
    )


def _store(spark: SparkSession, path: Path, rows: pa.Table) -> DataFrame:
    pq.write_table(rows, path)
    return spark.read.parquet(str(path))


def _spine(scene: Scene, history: Sequence[SourceRow]) -> Spine:
    """Ask for every key on, just before and just after each step end and each end of a ttl, and for unknown keys."""
    keys = {(row["case"], row["user"]) for row in history} | {(10**9, "a")}
    nudges = {timedelta(0), -_MICROSECOND, _MICROSECOND}
    if scene.view.ttl:
        nudges |= {scene.view.ttl, scene.view.ttl + _MICROSECOND}
    return [(key, step + nudge) for key in sorted(keys, key=repr) for step in scene.steps for nudge in sorted(nudges)]


def _answers(
    spark: SparkSession, path: Path, scene: Scene, spine: Spine, lookups: Sequence[HistoricalLookup]
) -> list[list[tuple[Any, ...]]]:
    """Join once; give each lookup's answers in the spine's order."""
    columns = (*KEYS, FieldNode(name=EVENT_TIMESTAMP, dtype=Timestamp), FieldNode(name=ROW, dtype=Int64))
    asked = [
        {"case": key[0], "user": key[1], EVENT_TIMESTAMP: instant, ROW: number}
        for number, (key, instant) in enumerate(spine)
    ]
    joined = point_in_time_join(_store(spark, path, make_table(columns, asked)), lookups).toArrow().sort_by(ROW)
    assert joined[ROW].to_pylist() == list(range(len(spine)))
    return [
        [
            tuple(dict(v) if v and isinstance(v, list) and isinstance(v[0], tuple) else v for v in values)
            for values in zip(*(joined[output].to_pylist() for _, output in lookup.features), strict=True)
        ]
        for lookup in lookups
    ]
