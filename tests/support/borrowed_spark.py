"""Run the ``featurestore`` command in a process that borrows the Spark of another: ``borrowed_spark.py VERB …``.

The process is one of its own, with its own Python and its own session; only the Java virtual machine is there already.
``lend`` gives the environment that says where.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["PROGRAM", "lend"]

PROGRAM = Path(__file__)


def lend(spark: SparkSession) -> Mapping[str, str]:
    """Give the variables by which a child process finds the session's Java virtual machine."""
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    parameters = gateway.java_parameters
    return {
        "PYSPARK_GATEWAY_PORT": str(parameters.port),
        "PYSPARK_GATEWAY_SECRET": str(parameters.auth_token),
        "PYSPARK_PYTHON": sys.executable,
    }


def borrow() -> SparkSession:
    """Open a session on the Spark that runs; it is the one that the process then finds, and stops nothing."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()
    java = gateway.jvm
    running = java.org.apache.spark.SparkContext.getOrCreate()
    context = SparkContext(gateway=gateway, jsc=java.JavaSparkContext.fromSparkContext(running))
    context.stop = lambda: None  # type: ignore[method-assign]
    session = SparkSession(context, java.SparkSession.active().newSession())
    session.stop = lambda: None  # type: ignore[method-assign]  # it would take the lender's default session away
    return session


if __name__ == "__main__":
    from featurestore.cli.main import main

    assert "PYSPARK_GATEWAY_PORT" in os.environ
    session = borrow()
    sys.argv[0] = "featurestore"
    main()
