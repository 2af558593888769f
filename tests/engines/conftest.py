"""How engine tests run their plans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession


@pytest.fixture
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Run plans as they are: compiling these many columns takes longer than these few rows do."""
    name = "spark.sql.codegen.wholeStage"
    spark.conf.set(name, "false")
    yield
    spark.conf.unset(name)
