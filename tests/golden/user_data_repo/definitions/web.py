"""The worked example of the public surface: click-through rates, a request-time feature, a prediction, a service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from featurestore import (
    Aggregation,
    BatchFeatureView,
    Entity,
    Expectation,
    FeatureService,
    Field,
    FileSource,
    Model,
    Permission,
    PredictionView,
    RequestSource,
    RoleBasedPolicy,
    after,
    batch_feature_view,
    on_demand_feature_view,
)
from featurestore.types import Bool, Float64, Int64, Timestamp

START = datetime(2026, 1, 1, tzinfo=UTC)

user = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])
clicks = FileSource(
    name="clicks",
    path="data/clicks.parquet",
    format="parquet",
    timestamp_field="event_timestamp",
    ready=after(timedelta(0)),
)
user_data = BatchFeatureView(
    name="user_data",
    entities=[user],
    source=clicks,
    aggregations=[
        Aggregation(column="clicked", function="sum", window=timedelta(days=7), name="number_of_clicks"),
        Aggregation(column="clicked", function="mean", window=timedelta(days=7), name="click_through_rate"),
        Aggregation(column="page_seconds", function="mean", window=timedelta(days=1), name="average_page_duration"),
    ],
    start=START,
    schedule="@daily",
    ttl=timedelta(days=30),
    late_data=timedelta(days=2),
    freshness=timedelta(hours=26),
    expectations=[
        Expectation("expect_column_values_to_be_between", column="click_through_rate", min_value=0, max_value=1)
    ],
    owner="growth",
)


@batch_feature_view(
    entities=[user], sources=[clicks], schema=[Field(name="is_vip", dtype=Bool)], schedule="@daily", start=START
)
def user_flags(clicks):  # type: ignore[no-untyped-def]
    return clicks.groupBy("user_id").agg({"clicked": "max"})


@on_demand_feature_view(
    sources=[user_data, RequestSource(name="req", schema=[Field(name="now", dtype=Timestamp)])],
    schema=[Field(name="seconds_since_last_event", dtype=Float64)],
    mode="numpy",
)
def recency(inputs):  # type: ignore[no-untyped-def]
    return {"seconds_since_last_event": inputs["now"]}


churn = PredictionView(
    name="model_predictions",
    entities=[user],
    features=user_data[["click_through_rate", "number_of_clicks"]],
    model=Model(name="ctr", version="3", load="definitions.models:load_ctr"),
    outputs=[Field(name="score", dtype=Float64)],
    schedule="@daily",
    start=START,
    max_age=timedelta(hours=30),
    attach_to=user_data,
)
ctr_service = FeatureService(name="ctr_v1", features=[user_data, recency, churn])
growth_read = Permission(
    name="growth-read",
    types=[BatchFeatureView],
    name_patterns=["user_.*"],
    policy=RoleBasedPolicy(roles=["growth"]),
    actions=["READ_ONLINE", "READ_OFFLINE"],
)
