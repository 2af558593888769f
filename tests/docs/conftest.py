"""The pages, and the projects that their snippets run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guide import GuideProject, make_flights, make_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    """The project that docs/definitions.md defines."""
    project = make_shop(tmp_path_factory.mktemp("shop"))
    yield project
    project.redis.stop()


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    """The flights example."""
    project = make_flights(tmp_path_factory.mktemp("flights"))
    yield project
    project.redis.stop()


@pytest.fixture
def spine_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the files that commands of the pages name."""
    monkeypatch.chdir(tmp_path)
    for name in ("labels.parquet", "training.parquet", "departures.parquet", "users.parquet"):
        (tmp_path / name).touch()
    return tmp_path
