"""Aggregations over what a query makes of several inputs: joined first, aggregated then, in any split of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.engines.base import ComputeRequest
from featurestore.engines.reference.engine import Query, ReferenceEngine
from featurestore.engines.spark.engine import SparkEngine
from featurestore.errors import SchemaMismatch, TransformationFailed
from featurestore.intervals import Interval
from featurestore.ir.nodes import (
    Aggregations,
    CodeRef,
    EventQuery,
    FunctionTransformation,
    SourceInput,
    SqlTransformation,
    ViewInputNode,
    ViewNode,
)
from featurestore.ir.schedule import parse_schedule
from featurestore.spec.dtypes import Float64, Int64, String, Timestamp
from tests.support.engine_runs import aggregation, engine_of, fields, file_source, instant, view_of
from tests.support.rows import make_table

pytestmark = pytest.mark.spark

HOUR = timedelta(hours=1)
ORDERS = {"shop": Int64, "ts": Timestamp, "made": Timestamp, "item": String, "n": Int64}
PRICES = {"item": String, "since": Timestamp, "price": Float64}
ITEMS = {"item": String, "maker": Int64}

COLUMNS = fields({"price": Float64, "n": Int64})
ITEMS_SOLD = (
    aggregation("sold", "sum", "n", 1, Int64),
    aggregation("dear", "count", "n", 3, Int64, where="price > 1"),
    aggregation("spent", "sum", "price", 3, Float64),
    aggregation("last_n", "last", "n", 2, Int64),
)
TEXT = """
    SELECT i.maker AS k, o.ts AS event_timestamp, o.made, o.n, p.price
    FROM {orders} o
    JOIN {items} i ON o.item = i.item
    LEFT JOIN {prices} p ON o.item = p.item AND p.since = date_trunc('hour', o.ts) - INTERVAL 1 HOUR
"""
"""Each order with its item's maker, and with the price of the hour before."""


def sources() -> tuple[Any, ...]:
    orders = file_source(name="orders", path="orders.parquet", schema=fields(ORDERS), created_timestamp_column="made")
    prices = file_source(name="prices", path="prices.parquet", schema=fields(PRICES), timestamp_field="since")
    return orders, prices, file_source(name="items", path="items.parquet", schema=fields(ITEMS), timestamp_field=None)


def joined_view(
    text: str = TEXT,
    *,
    lookback: timedelta | None = 2 * HOUR,
    inputs: Sequence[str] = ("orders", "prices", "items"),
    **overrides: Any,
) -> ViewNode:
    query = SqlTransformation(text=text, per="row", lookback=lookback)
    return view_of(
        {item.name: item.dtype for item in ITEMS_SOLD},
        Aggregations(items=ITEMS_SOLD, events=EventQuery(transformation=query, columns=COLUMNS)),
        **{
            "name": "makers",
            "inputs": tuple(SourceInput(source=name) for name in inputs),
            "schedule": parse_schedule("@daily"),
            **overrides,
        },
    )


def join(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Say the query's words in Python, over all rows there are."""
    makers: dict[str, list[int]] = {}
    for item in rows["items"]:
        makers.setdefault(item["item"], []).append(item["maker"])
    return [
        {
            "k": maker,
            "event_timestamp": order["ts"],
            "created_timestamp": order["made"],
            "n": order["n"],
            "price": price,
        }
        for order in rows["orders"]
        for maker in makers.get(order["item"], [])
        for price in [
            price["price"]
            for price in rows["prices"]
            if price["item"] == order["item"]
            and price["since"] == order["ts"].replace(minute=0, second=0, microsecond=0) - HOUR
        ]
        or [None]
    ]


def generate(days: int = 6) -> dict[str, list[dict[str, Any]]]:
    """Draw orders, many at the edges of steps and of hours, and prices by the hour."""
    hours = st.sampled_from([instant(f"{day:02} {hour:02}:00") for day in range(1, days + 1) for hour in (0, 0, 23)])
    offsets = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(minutes=59)])
    names = st.sampled_from(["a", "b", "c", "unknown"])
    order = st.fixed_dictionaries(
        {
            "shop": st.just(1),
            "ts": st.builds(lambda hour, offset: hour + offset, hours, offsets),
            "made": st.sampled_from([instant("09"), instant("10")]),
            "item": names,
            "n": st.sampled_from([None, 1, 2, 5]),
        }
    )
    price = st.fixed_dictionaries({"item": names, "since": hours, "price": st.sampled_from([0.5, 1.5, 2.25])})
    drawn: list[dict[str, list[dict[str, Any]]]] = []

    @settings(max_examples=3, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(st.lists(order, min_size=40, max_size=60), st.lists(price, min_size=20, max_size=30))
    def draw(orders: list[dict[str, Any]], prices: list[dict[str, Any]]) -> None:
        drawn.append({"orders": orders, "prices": prices})

    draw()
    items = [{"item": "a", "maker": 1}, {"item": "b", "maker": 2}, {"item": "c", "maker": 2}, {"item": "c", "maker": 3}]
    return {"items": items, **drawn[-1]}


def engine(spark: SparkSession, folder: Path, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> SparkEngine:
    types = {"orders": ORDERS, "prices": PRICES, "items": ITEMS}
    for name, found in rows.items():
        pq.write_table(make_table(fields(types[name]), found), folder / f"{name}.parquet")
    return engine_of(spark, folder, *sources())


def requests(view: ViewNode, runs: Sequence[tuple[str, str]], pins: Mapping[str, Any]) -> list[ComputeRequest]:
    """Ask for the runs; the first one begins the covered stretch."""
    return [
        ComputeRequest(
            view=view,
            interval=Interval(instant(start), instant(end)),
            first=number == 0,
            created=instant("20"),
            pins=pins,
        )
        for number, (start, end) in enumerate(runs)
    ]


def by_key(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[int, datetime], tuple[Any, ...]]:
    found = {(row["k"], row["event_timestamp"]): tuple(row[item.name] for item in ITEMS_SOLD) for row in rows}
    assert len(found) == len(rows)
    return found


def test_joined_rows_are_aggregated_as_the_oracle_does_in_any_split(spark: SparkSession, tmp_path: Path) -> None:
    rows, view = generate(), joined_view()
    spark_engine = engine(spark, tmp_path, rows)
    query: Query = join
    oracle = ReferenceEngine(
        sources={source.name: source for source in sources()},
        rows=rows,
        predicates={"price > 1": lambda row: None if row["price"] is None else row["price"] > 1},
        queries={"makers": query},
    )
    [whole] = requests(view, [("01", "09")], {})
    expected = by_key(oracle.compute(whole).rows)
    assert len(expected) > 10
    pins = {source.name: spark_engine.pin(source) for source in sources()}
    for runs in ([("01", "09")], [("01", "03"), ("03", "04"), ("04", "09")]):
        frames = [spark_engine.compute(request).rows for request in requests(view, runs, pins)]
        assert by_key(reduce(DataFrame.unionByName, frames).toArrow().to_pylist()) == expected


@pytest.mark.parametrize(("lookback", "emptied"), [(2 * HOUR, 1), (None, 0)])
def test_the_query_sees_as_much_more_as_its_lookback(
    spark: SparkSession, tmp_path: Path, lookback: timedelta | None, emptied: int
) -> None:
    """The step's oldest event falls out of its windows: what it was worth depends on a row an hour older."""
    order = {"shop": 1, "ts": instant("01"), "made": None, "item": "a", "n": None}
    price = {"item": "a", "since": instant("01") - HOUR, "price": 1.5}
    rows = {"orders": [order], "prices": [price], "items": [{"item": "a", "maker": 7}]}
    spark_engine = engine(spark, tmp_path, rows)
    pins = {source.name: spark_engine.pin(source) for source in sources()}
    _, request = requests(joined_view(lookback=lookback), [("01", "04"), ("04", "05")], pins)
    assert spark_engine.compute(request).rows.count() == emptied


def priced(orders: DataFrame, items: DataFrame) -> DataFrame:
    joined = orders.join(items, "item")
    return joined.select(F.col("maker").alias("k"), "ts", "n", F.lit(1).alias("price"))


def test_a_function_joins_too(spark: SparkSession, tmp_path: Path) -> None:
    code = FunctionTransformation(code=CodeRef(path=f"{__name__}:priced", digest="d"), per="row", lookback=None)
    query = EventQuery(transformation=code, columns=COLUMNS)
    view = replace(joined_view(inputs=("orders", "items")), transformation=Aggregations(items=ITEMS_SOLD, events=query))
    order = {"shop": 1, "ts": instant("01 12:00"), "made": None, "item": "a", "n": 3}
    spark_engine = engine(spark, tmp_path, {"orders": [order], "prices": [], "items": [{"item": "a", "maker": 7}]})
    [request] = requests(view, [("01", "03")], {source.name: spark_engine.pin(source) for source in sources()})
    found = by_key(spark_engine.compute(request).rows.toArrow().to_pylist())
    assert found == {(7, instant("02")): (3, 0, 1.0, 3), (7, instant("03")): (None, 0, 1.0, 3)}


def test_the_rows_of_another_view_are_aggregated(spark: SparkSession, tmp_path: Path) -> None:
    """A view without a query takes its parent's rows as events; with one, they are joined like a source's."""
    rows = [(1, instant("01 06:00"), 5), (1, instant("01 18:00"), 7), (2, instant("02 06:00"), 9)]
    parent = spark.createDataFrame(rows, "k bigint, event_timestamp timestamp, n bigint")
    total = (aggregation("total", "sum", "n", 1, Int64),)
    taken = view_of(
        {"total": Int64},
        Aggregations(items=total),
        inputs=(ViewInputNode(view="parent", features=("n",), alias="parent"),),
    )
    text = "SELECT k, event_timestamp, n * 2 AS n FROM {parent}"
    query = EventQuery(
        transformation=SqlTransformation(text=text, per="row", lookback=None), columns=fields({"n": Int64})
    )
    doubled = view_of({"total": Int64}, Aggregations(items=total, events=query), inputs=taken.inputs)
    parents = engine_of(spark, tmp_path, parents={"parent": parent}.__getitem__)
    for view, factor in ((taken, 1), (doubled, 2)):
        [request] = requests(view, [("01", "03")], {})
        found = parents.compute(request).rows.toArrow().to_pylist()
        assert sorted((row["k"], row["event_timestamp"], row["total"]) for row in found) == [
            (1, instant("02"), 12 * factor),
            (1, instant("03"), None),
            (2, instant("03"), 9 * factor),
        ]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("SELECT maker AS k, 1 AS n, 1.0D AS price FROM {items}, {orders}, {prices}", SchemaMismatch, "none of them a"),
        ("SELECT 1 AS k, ts, 'x' AS n, price FROM {orders}, {prices}, {items}", SchemaMismatch, "valid is int64"),
        ("SELECT ts FROM {orders}, {prices}, {items}", SchemaMismatch, "no such column"),
        ("SELECT nothing FROM {orders}, {prices}, {items}", TransformationFailed, "its SQL failed"),
    ],
)
def test_a_query_whose_rows_do_not_fit_is_refused_by_name(
    spark: SparkSession, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    spark_engine = engine(spark, tmp_path, {"orders": [], "prices": [], "items": []})
    pins = {source.name: spark_engine.pin(source) for source in sources()}
    [request] = requests(joined_view(text), [("01", "03")], pins)
    with pytest.raises(error, match=message):
        spark_engine.compute(request)
