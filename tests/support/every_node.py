"""One node of every kind, each field set to something other than its default."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from featurestore.ir import nodes
from featurestore.ir.manifest import Manifest
from featurestore.ir.schedule import CronSchedule, PeriodSchedule
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Timestamp,
)
from featurestore.spec.source import After, Marker, Watermark

__all__ = ["every_node", "on_demand_node", "prediction_node", "view_node"]

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, 6, 30, 0, 123456, tzinfo=UTC)
KEY = nodes.FieldNode(name="user_id", dtype=Int64)
CODE = nodes.CodeRef(path="definitions.web:flags", digest="d1")
COLUMNS = (
    KEY,
    nodes.FieldNode(name="ts", dtype=Timestamp),
    nodes.FieldNode(name="made", dtype=Timestamp),
    nodes.FieldNode(name="clicked", dtype=Int32),
    nodes.FieldNode(name="price", dtype=Decimal(12, 2)),
    nodes.FieldNode(name="words", dtype=Array(Array(String))),
    nodes.FieldNode(name="counts", dtype=Map(String, Map(Int64, Float32))),
    *(nodes.FieldNode(name=dtype.name, dtype=dtype) for dtype in (Bool, Bytes, Date, Json)),
)
FILE = nodes.FileSourceNode(
    name="clicks",
    path="data/clicks",
    format="csv",
    timestamp_field="ts",
    created_timestamp_column="made",
    schema=COLUMNS,
    field_mapping=(("c", "clicked"), ("p", "price")),
    ready=Marker("{end}/_SUCCESS"),
)
DELTA = nodes.DeltaSourceNode(
    name="orders",
    path="data/orders",
    table="shop.orders",
    query="SELECT * FROM {table}",
    timestamp_field="ts",
    created_timestamp_column="made",
    schema=COLUMNS,
    field_mapping=(("c", "clicked"),),
    ready=After(timedelta(minutes=5)),
)
EXPECTATION = nodes.ExpectationNode(
    name="expect_column_to_exist", arguments='{"column": "clicked"}', severity="warning", on="input"
)
TEXTS = {"owner": "growth", "tags": (("tier", "1"),), "description": "Über clicks"}
REF = nodes.FeatureRef(view="sums", feature="total", alias="sent", join_key_map=(("user_id", "sender"),))


def view_node(name: str, transformation: nodes.Transformation, inputs: tuple[nodes.InputNode, ...]) -> nodes.ViewNode:
    return nodes.ViewNode(
        name=name,
        join_keys=(KEY,),
        entities=("user",),
        inputs=inputs,
        transformation=transformation,
        features=(nodes.FieldNode(name="total", dtype=Int64), nodes.FieldNode(name="clicked", dtype=Int32)),
        start=START,
        schedule=CronSchedule(expression="0 3 * * *"),
        ttl=30 * DAY,
        online=True,
        late_data=2 * DAY,
        data_delay=timedelta(microseconds=1),
        on_expired="serve",
        freshness=timedelta(hours=26),
        expectations=(EXPECTATION,),
        engine="spark",
        fingerprint=f"{name}-fingerprint",
        version=3,
        storage_id=7,
        **TEXTS,
    )


def on_demand_node() -> nodes.OnDemandViewNode:
    return nodes.OnDemandViewNode(
        name="recency",
        inputs=(REF,),
        request=(nodes.FieldNode(name="now", dtype=Timestamp),),
        features=(nodes.FieldNode(name="seconds", dtype=Float64),),
        code=CODE,
        mode="pandas",
        write_to_online_store=True,
        join_keys=(KEY,),
        entities=("user",),
        fingerprint="recency-fingerprint",
        version=2,
        storage_id=11,
        **TEXTS,
    )


def prediction_node() -> nodes.PredictionViewNode:
    return nodes.PredictionViewNode(
        name="churn",
        join_keys=(KEY,),
        entities=("user",),
        inputs=(REF,),
        request=(nodes.FieldNode(name="now", dtype=Timestamp),),
        model=nodes.ModelNode(name="ctr", version="3", load=CODE, files=(("models/ctr.bin", "abc"),)),
        features=(nodes.FieldNode(name="score", dtype=Float64),),
        where="total > 0",
        start=START,
        schedule=PeriodSchedule(period=timedelta(hours=6)),
        max_age=timedelta(hours=30),
        on_stale="null",
        on_failure="error",
        refresh=("on_schedule",),
        stale_on=("age", "version"),
        input_grace=timedelta(minutes=1),
        require_features=False,
        attach_to="sums",
        data_delay=timedelta(minutes=2),
        expectations=(EXPECTATION,),
        freshness=DAY,
        fingerprint="churn-fingerprint",
        version=1,
        storage_id=2,
        **TEXTS,
    )


def file_model_node() -> nodes.PredictionViewNode:
    """Make a prediction view whose model is a file."""
    file = nodes.ModelFileNode(
        path="models/uplift.onnx",
        digest="abc",
        format="onnx",
        method="predict",
        inputs=(("x", "total"),),
        outputs=(nodes.ModelOutputNode(feature="score", name="probabilities", column=1),),
    )
    model = nodes.ModelNode(name="uplift", version="1", load=file)
    return replace(prediction_node(), name="uplift", model=model, fingerprint="uplift-fingerprint", storage_id=9)


def server_model_node() -> nodes.PredictionViewNode:
    """Make a prediction view whose model is behind a server."""
    server = nodes.ModelServerNode(
        url="http://models:8080",
        timeout=timedelta(seconds=2),
        inputs=(("x", "total"),),
        outputs=(nodes.ModelOutputNode(feature="score"),),
    )
    model = nodes.ModelNode(name="remote", version="1", load=server)
    return replace(prediction_node(), name="remote", model=model, fingerprint="remote-fingerprint", storage_id=10)


def views() -> tuple[nodes.ViewNode, ...]:
    """Make a view of each transformation; they read one another as their inputs say."""
    total = nodes.AggregationNode(
        name="total",
        function=AggregationFunction.COUNT_DISTINCT,
        column="clicked",
        window=7 * DAY,
        where="price > 1",
        k=3,
        percentile=0.5,
        limit=10,
        dtype=Int64,
    )
    clicks = (nodes.SourceInput(source="clicks"),)
    sums = nodes.ViewInputNode(view="sums", features=("total",), alias="s", join_key_map=(("user_id", "sender"),))
    sql = nodes.SqlTransformation(text="SELECT user_id, clicked FROM {clicks} JOIN {s}", per="step", lookback=DAY)
    events = nodes.EventQuery(
        transformation=nodes.SqlTransformation(text="SELECT user_id, clicked FROM {clicks}", per="row", lookback=DAY),
        columns=(nodes.FieldNode(name="clicked", dtype=Int64),),
    )
    function = nodes.FunctionTransformation(code=CODE, per="step", lookback=DAY)
    return (
        view_node("sums", nodes.Aggregations(items=(total,)), clicks),
        view_node("joined_sums", nodes.Aggregations(items=(total,), events=events), clicks),
        view_node("plain", nodes.Passthrough(), (nodes.SourceInput(source="orders"),)),
        view_node("joined", sql, (*clicks, sums)),
        view_node("flags", function, (nodes.SourceInput(source="push"), sums)),
    )


def sources() -> tuple[nodes.SourceNode, ...]:
    """Make a source of each kind."""
    return (
        FILE,
        DELTA,
        nodes.FileSourceNode(name="late", path="p", format="json", timestamp_field="ts", schema=(), ready=Watermark()),
        nodes.PushSourceNode(name="push", batch_source="orders", schema=COLUMNS),
        nodes.KafkaSourceNode(
            name="topic",
            bootstrap_servers="b:9092",
            topic="clicks",
            format="json",
            timestamp_field="ts",
            watermark=timedelta(minutes=5),
            batch_source="clicks",
            schema=COLUMNS,
        ),
        nodes.RequestSourceNode(name="request", schema=COLUMNS),
    )


def every_node() -> Manifest:
    """Make a manifest with every kind of node."""
    return Manifest(
        project="demo",
        generation=4,
        code="abc",
        entities={"user": nodes.EntityNode(name="user", keys=(KEY,))},
        sources={source.name: source for source in sources()},
        views={view.name: view for view in views()},
        on_demand_views={"recency": on_demand_node()},
        prediction_views={"churn": prediction_node(), "uplift": file_model_node(), "remote": server_model_node()},
        services={"ctr_v1": nodes.ServiceNode(name="ctr_v1", features=(REF,), **TEXTS)},
        permissions={
            "read": nodes.PermissionNode(
                name="read",
                types=("BatchFeatureView",),
                name_patterns=(".*",),
                roles=("growth",),
                actions=("READ_ONLINE",),
            )
        },
    )
