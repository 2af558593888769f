"""A cache of its own for each test, so that nothing depends on what this machine fetched before."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that the package uses."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FEATURESTORE_CACHE", str(folder))
    return folder
