"""A year of real flights: Spark's tables of the example's statistics against DuckDB's SQL over the same landing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from definitions.flights import features
from definitions.flights.entities import carrier
from definitions.flights.feed import land
from definitions.flights.replay import DATA_FOLDER
from definitions.flights.sources import flights, hourly_weather, planes
from featurestore import Aggregation, BatchFeatureView, Entity, Field
from featurestore.compile import compile_definitions, load_objects
from featurestore.engines.base import ComputeRequest
from featurestore.intervals import Interval
from featurestore.ir.manifest import Manifest
from featurestore.stores.source_schema import read_source_schema
from featurestore.types import Float64, Int32, Int64
from tests.support.engine_runs import engine_of
from tests.support.flights_sql import STATISTICS, compare, load_flights

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)
END = datetime(2014, 2, 4, tzinfo=UTC)
"""So long after the last flight that windows of 30 days run empty, and what is left of them expires."""

HISTORY = replace(
    features.carrier_delays,
    name="carrier_history",
    expectations=(),
    aggregations=[
        Aggregation(function="count", name="flights"),
        Aggregation(function="count", window=365 * DAY, name="flights_365d"),
        Aggregation(column="arr_delay", function="mean", name="mean_arrival_delay"),
        Aggregation(column="distance", function="sum", window=365 * DAY, name="miles_365d"),
        Aggregation(column="arr_delay", function="max", window=365 * DAY, name="longest_delay_365d"),
    ],
)
MAKER_DELAYS = BatchFeatureView(
    name="maker_delays",
    entities=[Entity(name="maker", join_keys=["manufacturer"])],
    sources=[flights, planes],
    sql="""
        SELECT p.manufacturer, f.event_timestamp, f.arr_delay, p.seats
        FROM {flights} f JOIN {planes} p ON f.tailnum = p.tailnum
    """,
    schema=[Field(name="arr_delay", dtype=Float64), Field(name="seats", dtype=Int32)],
    aggregations=[
        Aggregation(column="arr_delay", function="mean", window=7 * DAY, name="mean_arrival_delay_7d"),
        Aggregation(column="seats", function="sum", window=DAY, name="seats_1d"),
        Aggregation(function="count", window=30 * DAY, name="flights_30d"),
    ],
    **features.DAILY,
)
WINDY_DELAYS = BatchFeatureView(
    name="windy_delays",
    entities=[carrier],
    sources=[flights, hourly_weather],
    sql="""
        SELECT f.carrier, f.event_timestamp, f.late, w.wind_speed
        FROM {flights} f
        JOIN {hourly_weather} w ON w.origin = f.origin
            AND w.event_timestamp = date_trunc('hour', f.event_timestamp) - INTERVAL 1 HOUR
    """,
    lookback=timedelta(hours=2),
    schema=[Field(name="late", dtype=Int64), Field(name="wind_speed", dtype=Float64)],
    aggregations=[
        Aggregation(column="late", function="mean", where="wind_speed > 20", window=7 * DAY, name="late_in_wind_7d"),
        Aggregation(function="count", where="wind_speed > 20", window=7 * DAY, name="flights_in_wind_7d"),
        Aggregation(column="wind_speed", function="max", window=DAY, name="strongest_wind_1d"),
    ],
    **features.DAILY,
)
VIEWS = (
    *(features.carrier_delays, features.airport_delays, features.aircraft_delays),
    *(HISTORY, MAKER_DELAYS, WINDY_DELAYS),
)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("year")
    landed = land(folder, datetime(2014, 1, 1, 23, tzinfo=UTC), steps=365)
    assert landed[0].total == 336_776
    return folder


@pytest.fixture(scope="module", autouse=True)
def compiled(spark: SparkSession) -> Iterator[None]:
    """Compile the plans, as jobs do: here they run over a year of rows."""
    settings = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    before = {name: spark.conf.get(name) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield
    for name, found in before.items():
        spark.conf.set(name, str(found))


@pytest.fixture(scope="module")
def manifest(repo: Path) -> Manifest:
    entities = {entity.name: entity for view in VIEWS for entity in view.entities}
    loaded = load_objects([flights, hourly_weather, planes, *entities.values(), *VIEWS])
    return compile_definitions(
        loaded,
        project="flights",
        repo=Path(__file__).parents[2],
        schema_of=lambda source: read_source_schema(source, lambda path: str(repo / path)),
    ).manifest


@pytest.fixture(scope="module")
def database(repo: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    names = ("flights", "weather", "planes")
    tables: dict[str, pa.Table] = {
        name: DeltaTable(str(repo / DATA_FOLDER / name)).to_pyarrow_table() for name in names
    }
    with load_flights(tables, START + DAY, END) as opened:
        yield opened


@pytest.mark.parametrize("name", STATISTICS)
def test_every_key_at_every_step_end_has_what_sql_says(
    spark: SparkSession, repo: Path, manifest: Manifest, database: duckdb.DuckDBPyConnection, name: str
) -> None:
    view = manifest.views[name]
    engine = engine_of(spark, repo, *manifest.sources.values())
    pins = {source.name: engine.pin(source) for source in manifest.sources.values()}
    request = ComputeRequest(view=view, interval=Interval(START, END), first=True, created=END, pins=pins)
    rows = engine.compute(request).rows.toArrow()
    assert view.ttl is not None
    asked, stated, differ = compare(database, STATISTICS[name], rows, view.ttl)
    assert asked >= 3 * ((END - START) // DAY)
    assert differ == []
    assert len(rows) == stated, "a row for each change, and for nothing else"
