"""What every registry keeps, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from featurestore.errors import StateError
from featurestore.ir.manifest import Manifest
from featurestore.stores.database import Database
from featurestore.stores.registry import SqlRegistry
from tests.support.nodes import plain_view

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def manifest(*, project: str = "shop", **fingerprints: str) -> Manifest:
    views = {name: plain_view(name=name, fingerprint=digest) for name, digest in fingerprints.items()}
    return Manifest(project=project, views=views)


@pytest.fixture
def registry(database: Database) -> SqlRegistry:
    return SqlRegistry(database, "shop")


def test_nothing_is_applied_at_first(registry: SqlRegistry) -> None:
    assert registry.current() is None
    with pytest.raises(StateError, match="nothing was applied yet"):
        registry.manifest(1)


def test_record_stamps_versions_and_storage_ids(registry: SqlRegistry) -> None:
    stored = registry.record(manifest(a="f1", b="g1"), now=NOW)
    assert stored.generation == 1
    assert {view.name: (view.version, view.storage_id) for view in stored.stored_views()} == {"a": (1, 1), "b": (1, 2)}
    assert registry.current() == stored == registry.manifest(1)


def test_an_equal_manifest_changes_nothing(registry: SqlRegistry) -> None:
    first = registry.record(manifest(a="f1"), now=NOW)
    assert registry.record(manifest(a="f1"), now=NOW + timedelta(days=1)) == first
    assert registry.record(first, now=NOW) == first
    with pytest.raises(StateError, match="generation 2; it has 1 to 1"):
        registry.manifest(2)


def test_a_change_that_affects_no_data_keeps_the_version(registry: SqlRegistry) -> None:
    registry.record(manifest(a="f1"), now=NOW)
    described = Manifest(project="shop", views={"a": plain_view(name="a", fingerprint="f1", description="new")})
    stored = registry.record(described, now=NOW)
    assert (stored.generation, stored.views["a"].version, stored.views["a"].description) == (2, 1, "new")


def test_a_fingerprint_applied_before_gets_its_version_back(registry: SqlRegistry) -> None:
    for digest in ("f1", "f2", "f1"):
        stored = registry.record(manifest(a=digest), now=NOW)
    assert (stored.generation, stored.views["a"].version, stored.views["a"].storage_id) == (3, 1, 1)
    assert [(v.version, v.fingerprint, v.storage_id, v.applied_at) for v in registry.versions("a")] == [
        (1, "f1", 1, NOW),
        (2, "f2", 2, NOW),
    ]


def test_a_deleted_views_storage_id_is_not_used_again(registry: SqlRegistry) -> None:
    registry.record(manifest(a="f1", b="g1"), now=NOW)
    registry.record(manifest(a="f1"), now=NOW)
    stored = registry.record(manifest(a="f1", c="h1"), now=NOW)
    assert stored.views["c"].storage_id == 3


def test_projects_do_not_mix(database: Database) -> None:
    one, two = SqlRegistry(database, "shop"), SqlRegistry(database, "shop2")
    one.record(manifest(a="f1"), now=NOW)
    two.record(manifest(project="shop2", a="f9"), now=NOW)
    assert [version.fingerprint for version in one.versions("a")] == ["f1"]
    assert [(version.fingerprint, version.storage_id) for version in two.versions("a")] == [("f9", 1)]
    with pytest.raises(StateError, match="of project 'shop2', this registry of 'shop'"):
        one.record(manifest(project="shop2", a="f9"), now=NOW)


def test_a_view_without_fingerprint_is_refused_and_nothing_is_stored(registry: SqlRegistry) -> None:
    broken = manifest(a="f1", b="")
    with pytest.raises(ValueError, match="'b' has no fingerprint"):
        registry.record(broken, now=NOW)
    assert registry.current() is None and not registry.versions("a")
