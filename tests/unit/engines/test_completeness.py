"""Every aggregation function is complete: types, oracle, Spark and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from featurestore.compile.aggregates import output_dtype
from featurestore.engines.reference.aggregations import WindowRow, aggregate
from featurestore.engines.spark.aggregations import VALUE_FUNCTIONS, cell, lower, lower_values
from featurestore.intervals import EPOCH
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import Int64

DOCS = Path(__file__).parents[3] / "docs" / "aggregations.md"


def node(function: AggregationFunction) -> AggregationNode:
    dtype = output_dtype(function, Int64)
    assert dtype is not None, f"compile/aggregates.py has no output type for {function}"
    return AggregationNode(name="f", function=function, column="n", window=None, k=1, percentile=0.5, dtype=dtype)


@pytest.mark.parametrize("function", AggregationFunction)
def test_a_function_is_computed_by_the_oracle(function: AggregationFunction) -> None:
    assert aggregate(node(function), [WindowRow(timestamp=EPOCH, created=None, value=7)] * 2) is not None


@pytest.mark.spark
@pytest.mark.parametrize("function", AggregationFunction)
def test_a_function_has_a_spark_lowering(spark: object, function: AggregationFunction) -> None:
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    if function in VALUE_FUNCTIONS:
        counted = cell(function, "n", T.LongType())
        lower_values(node(function), counted, F.col("count"), F.col("last"))
    else:
        lower(node(function), "n", T.LongType()).merge(F.lit(True))


def test_every_function_is_defined_in_the_docs() -> None:
    rows = [line.split("|")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(AggregationFunction)
