"""The project that several modules read: three days of rides, computed and published day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from featurestore import FeatureStore
from featurestore.errors import ExitCode
from tests.support.online import running_redis
from tests.support.project import Clock, Project
from tests.support.rides import day


@pytest.fixture(scope="session")
def rides(project_maker: Callable[..., Project]) -> Project:
    return project_maker(package="rides_served")


@pytest.fixture(scope="session")
def served(rides: Project, store_opener: Callable[..., FeatureStore]) -> FeatureStore:
    """A store an hour after the third daily step; its modules only read."""
    clock = Clock(day(0))
    store = store_opener(rides, clock)
    store.apply()
    for number in (1, 2, 3):
        clock.now = day(number, hour=1)
        result = store.materialize_incremental(clock.now)
        assert result.exit_code is ExitCode.DONE, result.to_line()
    return store


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis server of the module's own."""
    with running_redis(tmp_path_factory.mktemp("r")) as address:
        yield address
