"""The packaged profiles against Spark itself: every key is one of Spark's or Delta's, and its value is of its type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from featurestore.embedded.spark_profile import packaged_spark_conf

pytestmark = pytest.mark.spark

LINE = re.compile(r"^(?:# )?(spark\.[\w.]+)\s+(\S.*)$")
"""A setting, or one that waits in a comment for its value."""
CONFIGURATIONS = (
    "org.apache.spark.deploy.k8s.Config$",
    "org.apache.spark.deploy.yarn.config.package$",
    "org.apache.spark.internal.config.package$",
    "org.apache.spark.internal.config.UI$",
    "org.apache.spark.internal.config.Python$",
    "org.apache.spark.sql.delta.sources.DeltaSQLConf$",
)
OF_SPARK_SUBMIT = frozenset({"spark.master", "spark.driver.defaultJavaOptions"})
"""Read by spark-submit itself, by name."""


def settings() -> list[tuple[str, str, str]]:
    paths = sorted(packaged_spark_conf().glob("*.conf"))
    lines = [(path.name, LINE.match(line)) for path in paths for line in Path(path).read_text().splitlines()]
    return [(name, found.group(1), found.group(2)) for name, found in lines if found]


@pytest.fixture(scope="module")
def entries(spark: SparkSession) -> Any:
    """Have every configuration of Spark, its cluster managers and Delta registered."""
    jvm = spark._jvm
    assert jvm is not None
    for name in CONFIGURATIONS:
        jvm.java.lang.Class.forName(name, True, jvm.java.lang.Thread.currentThread().getContextClassLoader())
    return jvm


@pytest.mark.parametrize(("profile", "key", "value"), settings())
def test_key_and_value_are_sparks(profile: str, key: str, value: str, entries: Any) -> None:
    if key in OF_SPARK_SUBMIT:
        return
    entry = entries.org.apache.spark.internal.config.ConfigEntry.findEntry(key)
    assert entry is not None, f"{profile}: Spark and Delta know no {key}"
    try:
        entries.org.apache.spark.SparkConf(False).set(key, value).get(entry)
    except IllegalArgumentException as error:
        pytest.fail(f"{profile}: {key} {value}: {error}")


def test_a_key_that_nobody_knows_is_found_out(entries: Any) -> None:
    assert entries.org.apache.spark.internal.config.ConfigEntry.findEntry("spark.executor.memmory") is None
    entry = entries.org.apache.spark.internal.config.ConfigEntry.findEntry("spark.executor.memory")
    settings = entries.org.apache.spark.SparkConf(False).set("spark.executor.memory", "plenty")
    with pytest.raises(IllegalArgumentException):
        settings.get(entry)
