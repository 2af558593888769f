"""Batch prediction: who is scored, what the model sees, and what a row says of its inputs."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.codec.digest import inputs_digest
from featurestore.engines.spark.scoring import ScoreRequest, score
from featurestore.engines.spark.worker_errors import raised_in_worker
from featurestore.errors import InferenceFailed, StateError, TransformationFailed
from featurestore.intervals import to_micros
from featurestore.ir.columns import stored_features
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    CodeRef,
    FeatureRef,
    FieldNode,
    ModelNode,
    OnDemandViewNode,
    PredictionViewNode,
)
from featurestore.spec.dtypes import Float64, Int64, String
from tests.support.nodes import prediction_view
from tests.support.offline_views import at, plain_view, table_rows

pytestmark = pytest.mark.spark

HOUR = timedelta(hours=1)
END = at("03")
USERS = plain_view(ttl=timedelta(days=1))
RATES = plain_view(name="rates", features=(FieldNode(name="rate", dtype=Float64),))


def _ref(view: str, feature: str) -> FeatureRef:
    return FeatureRef(view=view, feature=feature, alias=view)


def _prediction(load: str = "load_linear", **overrides: Any) -> PredictionViewNode:
    model = ModelNode(name="ctr", version="3", load=CodeRef(path=f"tests.support.models:{load}", digest="d"))
    inputs = (_ref("user_data", "clicks"), _ref("user_data", "city"), _ref("rates", "rate"))
    outputs = tuple(
        FieldNode(name=name, dtype=dtype) for name, dtype in (("score", Float64), ("loaded", Int64), ("city", String))
    )
    return prediction_view(**{"model": model, "inputs": inputs, "features": outputs, **overrides})


def _manifest(**overrides: Any) -> Manifest:
    return Manifest(project="demo", views={view.name: view for view in (USERS, RATES)}, **overrides)


def _request(spark: SparkSession, view: PredictionViewNode, manifest: Manifest | None = None) -> ScoreRequest:
    users = [
        {"user_id": 1, "event_timestamp": END - 2 * HOUR, "clicks": 1, "city": "Ulm"},
        {"user_id": 1, "event_timestamp": END - HOUR, "created_timestamp": END, "clicks": 2, "city": None},
        {"user_id": 1, "event_timestamp": END + HOUR, "clicks": 3},
        {"user_id": 2, "event_timestamp": END - HOUR, "clicks": None, "city": ""},
        {"user_id": 3, "event_timestamp": END - 25 * HOUR, "clicks": 9},
    ]
    rates = [{"user_id": 1, "event_timestamp": END, "rate": 0.5}]
    tables = {"user_data": table_rows(spark, USERS, users), "rates": table_rows(spark, RATES, rates)}
    return ScoreRequest(view=view, manifest=manifest or _manifest(), step_end=END, created=END + HOUR, tables=tables)


def _digest(*headers: tuple[bool, int, int]) -> int:
    return int(inputs_digest([(np.array([p]), np.array([e]), np.array([c])) for p, e, c in headers])[0])


def test_current_entities_are_scored_on_their_features_as_of_the_step_end(spark: SparkSession) -> None:
    view = _prediction()
    scored = score(_request(spark, view))
    assert scored.columns == [
        "user_id",
        "event_timestamp",
        "created_timestamp",
        *(f.name for f in stored_features(view)),
    ]
    times = [F.unix_micros(name).alias(name) for name in ("event_timestamp", "created_timestamp", "inputs_timestamp")]
    first, second = (
        scored.select("user_id", "score", "city", "loaded", "inputs_digest", *times).orderBy("user_id").collect()
    )
    end, hour = to_micros(END), HOUR // timedelta(microseconds=1)
    assert (first.user_id, first.score, first.city) == (1, 20.5, None)
    assert (second.user_id, math.isnan(second.score), second.city) == (2, True, "")
    assert (first.event_timestamp, first.created_timestamp, first.inputs_timestamp) == (end, end + hour, end)
    assert second.inputs_timestamp == end - hour
    assert first.inputs_digest == _digest((True, end - hour, end), (True, end, end))
    assert second.inputs_digest == _digest((True, end - hour, end - hour), (False, 0, 0))
    assert {first.loaded, second.loaded} == {1}


@pytest.mark.parametrize(
    ("where", "scored"),
    [("clicks >= 2", [1]), ("user_id = 2", [2]), ("user_data__city = '' OR rate > 0.1", [1, 2]), ("clicks > 9", [])],
)
def test_where_chooses_the_entities_by_keys_and_stored_features(
    spark: SparkSession, where: str, scored: list[int]
) -> None:
    rows = score(_request(spark, _prediction(where=where))).select("user_id").collect()
    assert sorted(row.user_id for row in rows) == scored


def test_a_predicate_that_names_nothing_is_told(spark: SparkSession) -> None:
    with pytest.raises(TransformationFailed, match=r"where='visits > 1' failed: .* Valid are .*user_id, .*clicks"):
        score(_request(spark, _prediction(where="visits > 1")))


def test_on_demand_features_are_computed_before_the_model_runs(spark: SparkSession) -> None:
    double = OnDemandViewNode(
        name="doubled",
        inputs=(_ref("rates", "rate"),),
        request=(),
        features=(FieldNode(name="rate", dtype=Float64),),
        code=CodeRef(path="tests.support.models:double_rate", digest="d"),
        mode="numpy",
    )
    inputs = (_ref("user_data", "clicks"), _ref("user_data", "city"), _ref("doubled", "rate"))
    scored = score(_request(spark, _prediction(inputs=inputs), _manifest(on_demand_views={"doubled": double})))
    assert scored.where("user_id = 1").first()["score"] == 21.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (
            "load_short",
            r"model 'ctr' version '3' .* gave the outputs \['score'\]; valid are \['city', 'loaded', 'score'\]",
        ),
        ("load_raising", r"model 'ctr' version '3' .* raised ValueError: no such coefficient"),
        ("load_absent", r"model 'ctr' version '3' .*has no 'load_absent'"),
    ],
)
def test_a_model_that_fails_is_named_with_what_it_gave(spark: SparkSession, load: str, expected: str) -> None:
    with pytest.raises(InferenceFailed, match=expected), raised_in_worker():
        score(_request(spark, _prediction(load))).collect()


def test_an_output_of_the_wrong_length_is_refused(spark: SparkSession) -> None:
    view = _prediction("load_short", features=(FieldNode(name="score", dtype=Float64),))
    with (
        pytest.raises(InferenceFailed, match=r"output 'score': found 1 values; valid is one for each of the"),
        raised_in_worker(),
    ):
        score(_request(spark, view)).coalesce(1).collect()


def test_a_view_that_has_no_entities_to_score_says_so(spark: SparkSession) -> None:
    with pytest.raises(StateError, match="no input view to take entities from"):
        score(_request(spark, _prediction(inputs=())))
    request = (FieldNode(name="now", dtype=Int64),)
    with pytest.raises(StateError, match="it reads the request fields now"):
        score(_request(spark, _prediction(request=request)))
    keys = (FieldNode(name="user_id", dtype=Int64), FieldNode(name="item_id", dtype=Int64))
    with pytest.raises(StateError, match="its keys must be exactly the view's join keys user_id, item_id"):
        score(_request(spark, replace(_prediction(), join_keys=keys)))
