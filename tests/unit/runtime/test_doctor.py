"""What the doctor says of the registry and the online store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from featurestore.runtime.doctor import Finding, examine
from featurestore.settings import Settings

if TYPE_CHECKING:
    from featurestore.embedded.redis_server import RedisServer


def finding(settings: Settings, part: str) -> Finding:
    (found,) = (finding for finding in examine(settings) if finding.part == part)
    return found


def test_the_registry_is_opened(tmp_path: Path) -> None:
    good = Settings(repo=tmp_path, project="shop", online_type="memory")
    found = finding(good, "registry")
    assert (found.is_ok, found.found) == (True, f"sqlite:///{tmp_path}/.featurestore/registry.db")
    (tmp_path / "text.db").write_text("no database, " * 100, encoding="utf-8")
    bad = Settings(repo=tmp_path, project="shop", online_type="memory", registry_url="sqlite:///text.db")
    assert not finding(bad, "registry").is_ok


@pytest.mark.redis
def test_credentials_of_the_online_store_are_not_shown(tmp_path: Path, redis_server: RedisServer) -> None:
    url = f"unix://default@{redis_server.socket_path}?password=s3cr3t"
    found = finding(Settings(repo=tmp_path, project="shop", redis_url=url), "online store")
    assert found.is_ok and str(redis_server.socket_path) in found.found
    assert "s3cr3t" not in found.found
