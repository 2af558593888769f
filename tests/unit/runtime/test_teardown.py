"""Which view versions a teardown deletes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from featurestore.ir.manifest import Manifest
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.teardown import applied_versions
from featurestore.settings import Settings
from tests.support.nodes import plain_view

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_versions_replaced_and_views_taken_out_are_deleted_too(tmp_path: Path) -> None:
    context = RuntimeContext(Settings(repo=tmp_path, project="shop", online_type="memory"))
    for fingerprints in ({"rides": "f1", "fares": "g1"}, {"rides": "f2"}, {"rides": "f3"}, {"rides": "f2"}):
        views = {name: plain_view(name=name, fingerprint=digest) for name, digest in fingerprints.items()}
        context.registry.record(Manifest(project="shop", views=views), now=NOW)
    found = [(view.name, view.version, view.fingerprint) for view in applied_versions(context)]
    context.close()
    assert sorted(found) == [("fares", 1, "g1"), ("rides", 1, "f1"), ("rides", 2, "f2"), ("rides", 3, "f3")]
    assert found[0] == ("rides", 2, "f2"), "what is served goes first"
