"""Batch prediction by a model behind a server: Spark's workers call it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from featurestore.engines.spark.scoring import score
from featurestore.ir.nodes import FieldNode, ModelNode, ModelOutputNode, ModelServerNode
from featurestore.spec.dtypes import Float64
from tests.engines.test_scoring import _prediction, _request
from tests.support.model_server import running_model_server

pytestmark = pytest.mark.spark


def test_workers_send_one_request_for_each_batch(spark: SparkSession) -> None:
    with running_model_server() as server:
        load = ModelServerNode(
            url=server.url,
            timeout=timedelta(seconds=20),
            inputs=(("click_through_rate", "clicks"),),
            outputs=(ModelOutputNode(feature="score"),),
        )
        view = _prediction(
            model=ModelNode(name="right", version="3", load=load), features=(FieldNode(name="score", dtype=Float64),)
        )
        rows = {row.user_id: row.score for row in score(_request(spark, view)).collect()}
        sent = [value for call in server.calls() for value in call["body"]["inputs"][0]["data"]]
    assert rows[1] == 20.0
    assert sorted(sent, key=str) == [2, None]
