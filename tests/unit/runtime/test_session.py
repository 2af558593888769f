"""What a job with a cluster's master refuses."""

from __future__ import annotations

from pathlib import Path

from featurestore.runtime.session import unreachable_by_workers
from featurestore.settings import parse_settings

REACHED = {
    "project": "shop",
    "registry": "postgresql://db/features",
    "offline_store": {"path": "s3a://lake/features"},
    "online_store": {"connection_string": "redis://cache"},
}


def test_addresses_that_all_nodes_reach_are_taken(tmp_path: Path) -> None:
    assert unreachable_by_workers(parse_settings(REACHED, repo=tmp_path)) == []
    mounted = {**REACHED, "offline_store": {"path": "file:///mnt/lake"}}
    assert unreachable_by_workers(parse_settings(mounted, repo=tmp_path)) == []


def test_what_only_this_machine_has_is_named_with_what_to_set(tmp_path: Path) -> None:
    registry, offline, online = unreachable_by_workers(parse_settings({"project": "shop"}, repo=tmp_path))
    assert registry.endswith("which is SQLite (set registry: postgresql://…)")
    assert "offline store .featurestore/offline" in offline and "written file:///…" in offline
    assert online.startswith("the project's own Redis")
