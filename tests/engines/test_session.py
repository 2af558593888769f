"""The session of a thread that a run is computed in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from featurestore.engines.spark.session import use_session

pytestmark = pytest.mark.spark


def test_a_thread_writes_where_the_process_has_no_default_session(spark: SparkSession, tmp_path: Path) -> None:
    """As where another session of the process was stopped: that takes the default of all away."""
    path = str(tmp_path / "table")

    def write() -> None:
        use_session(spark)
        spark.range(3).write.format("delta").save(path)

    java = spark._jvm
    assert java is not None
    java.SparkSession.clearDefaultSession()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write).result()
    finally:
        java.SparkSession.setDefaultSession(spark._jsparkSession)
    assert spark.read.format("delta").load(path).count() == 3
