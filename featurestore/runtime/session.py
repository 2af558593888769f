"""The process's Spark session: what spark-submit started, else one like it inside this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from featurestore.embedded.spark_submit import resolve_spark_submit
from featurestore.errors import StateError
from featurestore.settings import Settings, environment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["open_session"]

_UNDER_SPARK_SUBMIT = "PYSPARK_GATEWAY_PORT"


def open_session(settings: Settings) -> SparkSession:
    """Start the session with the profile of the settings, or take the one that spark-submit gave.

    A SQLite registry with a Spark master that is not local is refused: other machines could not reach it.
    """
    from featurestore.engines.spark.session import build_session

    if environment(_UNDER_SPARK_SUBMIT) is None:
        submit = resolve_spark_submit(settings.spark_profile, repo=settings.repo)
        os.environ.update(submit.session_environment())
    session = build_session(f"featurestore {settings.project}")
    master = str(session.sparkContext.master)
    if settings.registry_url.startswith("sqlite") and not master.startswith("local"):
        session.stop()
        raise StateError(
            f"the registry {settings.registry_url} is SQLite, which only one machine can use, and Spark's master is "
            f"{master}; set registry: postgresql://… in feature_store.yaml, or use a local profile",
            master=master,
        )
    return session
