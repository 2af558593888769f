"""Rides that arrive late, are altered and withdrawn, in a source of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from tests.support.project import Project, rides_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["KINDS", "VIEWS", "LateRides", "SourceKind", "definitions"]

SourceKind: TypeAlias = Literal["feed", "no feed", "files", "table"]
"""``table`` is one of Spark's catalogue."""
KINDS: tuple[SourceKind, ...] = ("feed", "no feed", "files")

_SOURCES = {
    "feed": 'DeltaSource(name="rides", path="data/rides", timestamp_field="event_timestamp")',
    "no feed": 'DeltaSource(name="rides", path="data/rides", timestamp_field="event_timestamp")',
    "files": 'FileSource(name="rides", path="data/files", timestamp_field="event_timestamp")',
    "table": """DeltaSource(
    name="rides",
    table="PACKAGE_rides",
    timestamp_field="event_timestamp",
    schema=[
        Field(name="driver_id", dtype=Int64),
        Field(name="event_timestamp", dtype=Timestamp),
        Field(name="distance", dtype=Float64),
        Field(name="rating", dtype=Int64),
    ],
)""",
}
_HEAD = '''"""Rides that may come late."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Entity, Field, FileSource, Model, PredictionView
from featurestore.types import Float64, Int64, String, Timestamp

DAY = timedelta(days=1)
DAILY = {"start": datetime(2026, 3, 1, tzinfo=timezone.utc), "schedule": SCHEDULE, "late_data": LATE_DATA}
driver = Entity(name="driver", join_keys=["driver_id"], dtypes=[Int64])
rides = SOURCE

ride_stats = BatchFeatureView(
    name="ride_stats",
    entities=[driver],
    source=rides,
    aggregations=[
        Aggregation(column="distance", function="sum", window=LONG, name="distance_2d"),
        Aggregation(column="rating", function="last", window=DAY, name="rating_1d"),
        Aggregation(function="count", window=DAY, name="rides_1d"),
    ],
    **DAILY,
)
'''
VIEWS = """
ride_log = BatchFeatureView(
    name="ride_log",
    entities=[driver],
    source=rides,
    schema=[Field(name="distance", dtype=Float64), Field(name="rating", dtype=Int64)],
    online=False,
    **DAILY,
)
"""


def definitions(
    kind: SourceKind,
    *,
    late_data: str = "30 * DAY",
    long: str = "2 * DAY",
    schedule: str = '"@daily"',
    more: str = VIEWS,
) -> str:
    """``long`` is the window of distances; all are Python expressions, ``more`` further definitions."""
    text = _HEAD + more
    for name, value in (("SOURCE", _SOURCES[kind]), ("LATE_DATA", late_data), ("LONG", long), ("SCHEDULE", schedule)):
        text = text.replace(name, value)
    return text


@dataclass
class LateRides:
    """The source of a project; ``rows`` is what it holds at the moment."""

    project: Project
    kind: SourceKind
    rows: list[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        maker: Callable[..., Project],
        kind: SourceKind,
        rows: Sequence[Mapping[str, Any]],
        *,
        spark: SparkSession | None = None,
        **options: Any,
    ) -> LateRides:
        """Make a project whose source has ``rows``; options go to ``definitions``, ``spark`` knows a ``table``."""
        source = cls(project=maker(definitions=definitions(kind, **options), rides=rows), kind=kind, rows=list(rows))
        if kind == "files":
            source.folder.mkdir()
            pq.write_table(rides_table(rows), source.folder / "000.parquet")
        elif kind == "table":
            assert spark is not None
            spark.sql(f"CREATE TABLE {source.project.package}_rides USING delta LOCATION '{source.table}'")
        elif kind == "feed":
            DeltaTable(source.table).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
        return source

    @property
    def table(self) -> Path:
        return self.project.root / "data" / "rides"

    @property
    def folder(self) -> Path:
        return self.project.root / "data" / "files"

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows += rows
        if self.kind == "files":
            names = sorted(self.folder.iterdir())
            pq.write_table(rides_table(rows), self.folder / f"{len(names):03}.parquet")
        else:
            self.project.land(rows)

    def change(self, gone: Iterable[Mapping[str, Any]], instead: Sequence[Mapping[str, Any]] = ()) -> None:
        """Take rows out and put others in; of files, all are written over by one."""
        gone = list(gone)
        self.rows = [row for row in self.rows if row not in gone] + list(instead)
        if self.kind == "files":
            for path in self.folder.iterdir():
                path.unlink()
            pq.write_table(rides_table(self.rows), self.folder / "000.parquet")
            return
        for row in gone:
            at = row["event_timestamp"].isoformat()
            driver, rating = ("IS NULL" if row[name] is None else f"= {row[name]}" for name in ("driver_id", "rating"))
            DeltaTable(self.table).delete(
                f"driver_id {driver} AND distance = {row['distance']} AND rating {rating} AND "
                f"event_timestamp = arrow_cast('{at}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
            )
        if instead:
            write_deltalake(self.table, rides_table(instead), mode="append")
