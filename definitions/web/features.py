"""The ``user_data`` example: click-through rate and its like, and a score attached to the same view."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from featurestore import (
    Aggregation,
    BatchFeatureView,
    Entity,
    Expectation,
    FeatureService,
    Field,
    FileSource,
    Model,
    PredictionView,
    RequestSource,
    on_demand_feature_view,
)
from featurestore.types import Float64, Int64, String, Timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

START = datetime(2026, 1, 1, tzinfo=UTC)

user = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])

clicks = FileSource(
    name="clicks",
    path="data/web/clicks",
    timestamp_field="event_timestamp",
    schema=[
        Field(name="user_id", dtype=Int64),
        Field(name="event_timestamp", dtype=Timestamp),
        Field(name="page", dtype=String),
        Field(name="clicked", dtype=Int64),
        Field(name="page_seconds", dtype=Float64),
    ],
)

user_data = BatchFeatureView(
    name="user_data",
    entities=[user],
    source=clicks,
    aggregations=[
        Aggregation(column="clicked", function="sum", window=timedelta(days=7), name="number_of_clicks"),
        Aggregation(column="clicked", function="mean", window=timedelta(days=7), name="click_through_rate"),
        Aggregation(column="page_seconds", function="mean", window=timedelta(days=1), name="average_page_duration"),
        Aggregation(column="event_timestamp", function="last", window=timedelta(days=30), name="last_event"),
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


@on_demand_feature_view(
    sources=[user_data[["last_event"]], RequestSource(name="request", schema=[Field(name="now", dtype=Timestamp)])],
    schema=[Field(name="seconds_since_last_event", dtype=Float64)],
)
def recency(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Seconds between the user's last event and the request."""
    import numpy as np

    waited = np.ma.subtract(np.ma.asarray(inputs["now"]), np.ma.asarray(inputs["last_event"]))
    micros = waited.astype("timedelta64[us]").astype(np.float64)
    return {"seconds_since_last_event": np.ma.filled(micros / 1e6, np.nan)}


model_predictions = PredictionView(
    name="model_predictions",
    entities=[user],
    features=user_data[["click_through_rate", "number_of_clicks", "average_page_duration"]],
    model=Model(name="ctr", version="1", load="definitions.web.model:load"),
    outputs=[Field(name="score", dtype=Float64)],
    start=START,
    schedule="@daily",
    max_age=timedelta(hours=30),
    on_stale="infer",
    attach_to=user_data,
)

ctr = FeatureService(name="ctr_v1", features=[user_data, recency, model_predictions])
