"""Fixtures of the whole suite: one Spark session, one Redis server, and how property tests draw."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from featurestore import FeatureStore
    from featurestore.embedded.redis_server import RedisServer
    from tests.support.project import Clock, Project

# It logs the end of each connection, also after pytest has closed the streams.
logging.getLogger("py4j").setLevel(logging.WARNING)

# pyspark.sql.connect takes a process whose main module has no file, as pytest-xdist's have none, for a run of doctests.
vars(sys.modules["__main__"]).setdefault("__file__", str(Path(pytest.__file__).with_name("__main__.py")))

# Continuous integration draws the same examples each time, a developer's run others; what fails is printed with the
# decorator that draws it again.
_ANY = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("ci", derandomize=True, **_ANY)
settings.register_profile("local", **_ANY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "local"))


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Undo what a test that calls the command line in this process did to the loggers' levels."""
    loggers = [logging.getLogger(), logging.getLogger("featurestore")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One small local Spark session; child processes see nothing of its environment."""
    from featurestore.embedded.spark_submit import resolve_spark_submit
    from featurestore.engines.spark.session import build_session

    submit = resolve_spark_submit("test", conf={"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))})
    with pytest.MonkeyPatch.context() as environment:
        for name, value in submit.session_environment().items():
            environment.setenv(name, value)
        session = build_session("tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis server on a unix socket."""
    from featurestore.embedded.redis_server import RedisServer

    server = RedisServer(folder=tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def project_maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Project]]:
    """Make projects on disk (``make_project``'s options); their Redis servers end with the session."""
    from tests.support.project import make_project

    with ExitStack() as stack:

        def make(**options: Any) -> Project:
            project = make_project(tmp_path_factory.mktemp("project") / "repo", **options)
            stack.callback(project.redis.stop)
            return project

        yield make


@pytest.fixture(scope="session")
def store_opener(spark: SparkSession) -> Iterator[Callable[[Project, Clock], FeatureStore]]:
    """Open stores that share the suite's Spark session; they are closed with it."""
    with ExitStack() as stack:
        yield lambda project, clock: stack.enter_context(project.open(clock, spark))
