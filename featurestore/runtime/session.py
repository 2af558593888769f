"""The process's Spark session: what spark-submit started, else one like it inside this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from featurestore.embedded.spark_submit import resolve_spark_submit
from featurestore.errors import StateError
from featurestore.settings import Settings, environment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["open_session", "unreachable_by_workers"]

_UNDER_SPARK_SUBMIT = "PYSPARK_GATEWAY_PORT"


def open_session(settings: Settings) -> SparkSession:
    """Start the session with the profile of the settings, or take the one that spark-submit gave.

    With a Spark master that is not local, what only this machine can reach is refused: a SQLite registry, an offline
    store on a local path, the project's own Redis.
    """
    from featurestore.engines.spark.session import build_session

    if environment(_UNDER_SPARK_SUBMIT) is None:
        submit = resolve_spark_submit(settings.spark_profile, repo=settings.repo)
        os.environ.update(submit.session_environment())
    session = build_session(f"featurestore {settings.project}")
    master = str(session.sparkContext.master)
    if not master.startswith("local"):
        problems = unreachable_by_workers(settings)
        if problems:
            session.stop()
            raise StateError(
                f"Spark's master is {master}, and other machines cannot reach: {'; '.join(problems)}. Change it in "
                "feature_store.yaml, or use a local profile",
                master=master,
                problems=problems,
            )
    return session


def unreachable_by_workers(settings: Settings) -> list[str]:
    """Name what other machines of a cluster could not reach, each with what to set instead."""
    problems = []
    if settings.registry_url.startswith("sqlite"):
        problems.append(f"the registry {settings.registry_url}, which is SQLite (set registry: postgresql://…)")
    if settings.is_offline_local:
        problems.append(
            f"the offline store {settings.offline_path} (set its path to s3a://…, abfss://… or hdfs://…; a folder that "
            "every node mounts is written file:///…)"
        )
    if settings.uses_own_redis:
        problems.append("the project's own Redis (set online_store: {type: redis, connection_string: redis://…})")
    return problems
