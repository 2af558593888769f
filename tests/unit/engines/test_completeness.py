"""Every aggregation function is complete: types, oracle, Spark, and its definition in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from featurestore.compile.aggregates import accepted_types, output_dtype
from featurestore.engines.reference.aggregations import WindowRow, aggregate
from featurestore.engines.spark.aggregations import Members, lower
from featurestore.engines.spark.value_functions import VALUE_FUNCTIONS, cell, lower_values
from featurestore.intervals import EPOCH
from featurestore.ir.nodes import AggregationNode
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.dtypes import (
    Array,
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Timestamp,
)

DOCS = Path(__file__).parents[3] / "docs" / "aggregations.md"
MAP = Map(String, Int64)
NUMBERS = {Int32, Int64, Float32, Float64, Decimal(6, 2)}
TYPES = {*NUMBERS, Bool, String, Bytes, Timestamp, Date, Json, Array(Int64), Array(MAP), MAP}
TAKES = {
    "any column, or none": TYPES | {None},
    "any column but maps": TYPES - {MAP, Array(MAP)},
    "any column but maps and arrays": TYPES - {MAP, Array(MAP), Array(Int64)},
    "integers, floats, decimals": NUMBERS,
    "numbers, strings, bools, dates, timestamps": NUMBERS | {String, Bool, Date, Timestamp},
    "integers, strings, bools, dates": {Int32, Int64, String, Bool, Date},
}
"""What the words of the docs' table mean."""

EDGES = (
    *("**Null**", "**Empty**", "**Rows**", "**Order**", "**NaN**", "**Floats**", "**Types**", "**Overflow**"),
    *("Of **one row**: 0", "Of **one row**: null", "standard error 0.8 %", "at most 1 % off"),
)
"""What has to be said of all functions, and of some."""


def node(function: AggregationFunction) -> AggregationNode:
    dtype = output_dtype(function, Int64)
    assert dtype is not None, f"compile/aggregates.py has no output type for {function}"
    return AggregationNode(name="f", function=function, column="n", window=None, k=1, percentile=0.5, dtype=dtype)


def documented() -> dict[str, list[str]]:
    """Give the cells behind each function's name in the docs' table."""
    rows = [line.split("|")[1:-1] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {name: [cell.strip() for cell in row[1:]] for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def given(words: str, column: DType | None) -> DType | None:
    """Read a cell of the column "Gives" for one type of input."""
    match words:
        case "the column's type":
            return column
        case "Array of it":
            assert column is not None
            return Array(column)
        case "Map(String, Int64)":
            return MAP
        case "Int64; Float64; Decimal with 10 more digits (38 at most)":
            if isinstance(column, Decimal):
                return Decimal(column.precision + 10, column.scale)
            return Float64 if column in (Float32, Float64) else Int64
        case _:
            return {"Int64": Int64, "Float64": Float64}[words]


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
        lowering = lower(node(function), "n", T.LongType())
        lowering.merge(Members(inside=F.lit(True)))
        assert lowering.combine.keys() == lowering.partials.keys(), "tiles of each partial combine to coarser ones"


def test_every_function_is_defined_in_the_docs() -> None:
    assert sorted(documented()) == sorted(AggregationFunction)


@pytest.mark.parametrize("function", AggregationFunction)
def test_the_docs_say_what_a_function_takes_and_gives(function: AggregationFunction) -> None:
    takes, gives, definition = documented()[function]
    accepted = {column for column in (*TYPES, None) if output_dtype(function, column) is not None}
    assert accepted == TAKES[takes]
    assert {column: output_dtype(function, column) for column in accepted} == {
        column: given(gives, column) for column in accepted
    }
    assert len(definition.split()) >= 3
    if accepted != TAKES["any column, or none"]:
        assert accepted_types(function)


def test_the_docs_say_which_functions_of_nothing_are_0() -> None:
    [words] = re.findall(
        r"\*\*Empty\*\*.*?\): (.*?) are 0, everything else is null", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )
    assert set(re.findall(r"`(\w+)`", words)) == {
        function for function in AggregationFunction if aggregate(node(function), []) == 0
    }


@pytest.mark.parametrize("words", EDGES)
def test_the_docs_define_each_edge(words: str) -> None:
    assert words in DOCS.read_text(encoding="utf-8")
