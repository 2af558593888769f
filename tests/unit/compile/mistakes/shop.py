"""Definitions with eight different mistakes; ``test_mistakes.py`` names them by line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from featurestore import Aggregation, BatchFeatureView, Entity, Expectation, Field, FileSource
from featurestore.types import Float64, Int64, String, Timestamp

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = [
    Field(name="customer_id", dtype=Int64),
    Field(name="event_timestamp", dtype=Timestamp),
    Field(name="amount", dtype=Float64),
    Field(name="shop", dtype=String),
]

customer = Entity(name="customer", join_keys=["customer_id"], dtypes=[Int64])
product = Entity(name="product", join_keys=["product_id"], dtypes=[Int64])
orders = FileSource(name="orders", path="data/orders.parquet", timestamp_field="event_timestamp", schema=COLUMNS)

spending = BatchFeatureView(
    name="spending",
    entities=[customer],
    source=orders,
    aggregations=[
        Aggregation(function="sum", column="amuont", window=DAY),
        Aggregation(function="mean", column="shop", window=DAY),
        Aggregation(function="max", column="amount", window=timedelta(seconds=90)),
    ],
    schedule="@daily",
    start=START,
)

habits = BatchFeatureView(
    name="habits",
    entities=[customer],
    source=orders,
    aggregations=[Aggregation(function="count", window=DAY)],
    schedule="61 * * * *",
    start=START,
)

product_sales = BatchFeatureView(
    name="product_sales", entities=[product], source=orders, schema=[Field(name="amount", dtype=Float64)]
)

latest = BatchFeatureView(
    name="latest",
    entities=[customer],
    source=orders,
    schema=[Field(name="shop", dtype=String)],
    expectations=[Expectation("expect_column_values_to_not_be_nul", column="shop")],
)

copies = BatchFeatureView(
    name="latest", entities=[customer], source=orders, schema=[Field(name="amount", dtype=Float64)]
)

favourites = BatchFeatureView(
    name="favourites",
    entities=[customer],
    source=orders,
    sql="SELECT customer_id, event_timestamp, shop FROM {order}",
    schema=[Field(name="shop", dtype=String)],
    per="row",
)
