"""The examples' projects: applied, with rows in Redis that no Spark computed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from featurestore import FeatureStore
from tests.support.guide import GuideProject, make_flights, make_web, serve_web

_ROUTES = itertools.count()


@pytest.fixture(scope="session")
def flights_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    project = make_flights(tmp_path_factory.mktemp("flights"))
    yield project
    project.redis.stop()


@pytest.fixture
def flights(flights_project: GuideProject) -> Iterator[FeatureStore]:
    with FeatureStore(flights_project.root) as store:
        yield store


@pytest.fixture
def flight(flights_project: GuideProject) -> dict[str, str]:
    """Give a flight with features, of which no test has predicted anything yet."""
    flight = {"carrier": "UA", "origin": "EWR", "dest": f"D{next(_ROUTES)}"}
    flights_project.serve("connection_record", [flight | {"late_rate": 0.21, "flights_30d": 310}])
    return flight


@pytest.fixture(scope="session")
def web_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    project = make_web(tmp_path_factory.mktemp("web"))
    yield project
    project.redis.stop()


@pytest.fixture
def web(web_project: GuideProject) -> GuideProject:
    """Give the project with user 1's features and no prediction."""
    serve_web(web_project)
    return web_project
