"""On-demand features that are written, on an applied project and a real Redis, without Spark."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from featurestore import (
    BatchFeatureView,
    Entity,
    FeatureStore,
    Field,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    on_demand_feature_view,
)
from featurestore.cli.main import cli
from featurestore.codec.keys import index_key
from featurestore.errors import OnDemandFailed, StateError
from featurestore.runtime.teardown import applied_versions
from featurestore.types import Int64, String
from tests.support.pushed import DAY, open_pushed

pytestmark = pytest.mark.redis

MODULE = '''"""A function of one version."""


def engagement(inputs):
    if (inputs["depth"] < 0).any():
        raise ValueError("a page has no negative depth")
    return {{"score": inputs["depth"] * {factor}}}
'''
VISITS = {"user_id": [1, 2], "page": ["home", "cart"], "depth": [3, 4]}


@pytest.fixture
def store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with open_pushed(tmp_path, url, project=f"p{abs(hash(tmp_path)) % 10**9}") as opened:
        opened.apply(definitions(tmp_path, factor=10))
        yield opened


def definitions(root: Path, *, factor: int, **options: Any) -> list[object]:
    user = Entity(name="user", join_keys=["user_id"], dtypes=[Int64])
    fields = [Field(name="page", dtype=String), Field(name="depth", dtype=Int64)]
    source = PushSource(name="visits", schema=[Field(name="user_id", dtype=Int64), *fields])
    visit = BatchFeatureView(name="visit", entities=[user], source=source, schema=fields, ttl=DAY)
    values = {"sources": [visit[["depth"]]], "write_to_online_store": True}
    made = on_demand_feature_view(
        name="engagement",
        schema=[Field(name="score", dtype=Int64)],
        **(values | options),
    )(function(root, factor))
    return [user, visit, made]


def function(root: Path, factor: int) -> Callable[..., Any]:
    name = f"engagement_{root.name}_{factor}".replace("-", "_")
    (root / f"{name}.py").write_text(MODULE.format(factor=factor), encoding="utf-8")
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    found: Callable[..., Any] = importlib.import_module(name).engagement
    return found


def scores(store: FeatureStore, *users: int) -> list[Any]:
    answer = store.get_online_features(["engagement:score"], {"user_id": list(users)})
    found: list[Any] = answer["score"]
    return found


def stored(store: FeatureStore, storage_id: int) -> int:
    online = store.runtime.online
    keys = [
        key for lot in online.members(index_key(online.project_id(store.settings.project), storage_id)) for key in lot
    ]
    return sum(value is not None and len(value) > 17 for value in online.read(keys))


def test_a_push_stores_what_the_applied_function_gives(store: FeatureStore) -> None:
    result = store.push("visits", VISITS)
    assert {name: count.written for name, count in result.views.items()} == {"visit": 2, "engagement": 2}
    assert (scores(store, 1, 2), stored(store, store.manifest.on_demand_views["engagement"].storage_id)) == (
        [30, 40],
        2,
    )
    assert store.scan_orphans() == 0
    replay = store.push("visits", VISITS | {"event_timestamp": ["2026-01-01T00:00:00Z"] * 2})
    assert (replay.written, replay.ignored) == (0, 4)


def test_a_lookup_of_what_is_stored_needs_no_code(store: FeatureStore) -> None:
    store.push("visits", VISITS)
    online, project = store.runtime.online, store.settings.project
    online.delete([f"featurestore:code:{project}:{store.manifest.code}".encode()])
    for archive in (store.settings.state_path / "code").iterdir():
        archive.unlink()
    assert scores(store, 1, 2) == [30, 40]
    with pytest.raises(StateError, match="is neither in"):
        scores(store, 3)


def test_the_asyncio_client_answers_alike(store: FeatureStore) -> None:
    async def look() -> Any:
        answer = await store.get_online_features_async(["engagement:score", "visit:page"], {"user_id": [1, 2, 3]})
        await store.aclose()
        return answer.to_dict()

    store.push("visits", VISITS)
    assert asyncio.run(look()) == {"user_id": [1, 2, 3], "score": [30, 40, None], "page": ["home", "cart", None]}


def test_a_failing_function_writes_nothing(store: FeatureStore) -> None:
    with pytest.raises(OnDemandFailed, match="a page has no negative depth"):
        store.push("visits", VISITS | {"depth": [3, -1]})
    assert store.get_online_features(["visit:depth"], {"user_id": [1, 2]})["depth"] == [None, None]


def test_finished_features_and_direct_writes(store: FeatureStore) -> None:
    result = store.push("visits", VISITS | {"score": [7, 8]}, transform_on_write=False)
    assert (result.written, scores(store, 1, 2)) == (4, [7, 8])
    store.write_to_online_store("engagement", {"user_id": [1], "depth": [5]})
    store.write_to_online_store("engagement", {"user_id": [2], "score": [9]}, transform_on_write=False)
    assert scores(store, 1, 2) == [50, 9]
    store.push("visits", VISITS)
    assert scores(store, 1, 2) == [30, 40]


def test_a_deleted_entity_is_gone_from_what_was_computed_of_it(store: FeatureStore) -> None:
    store.push("visits", VISITS | {"score": [7, 8]}, transform_on_write=False)
    result = store.delete_online("visit", [{"user_id": 2}])
    assert {name: count.written for name, count in result.views.items()} == {"visit": 1, "engagement": 1}
    assert (scores(store, 1, 2), stored(store, store.manifest.on_demand_views["engagement"].storage_id)) == (
        [7, None],
        1,
    )
    assert store.delete_online("engagement", [{"user_id": 1}]).written == 1
    assert scores(store, 1) == [30]


def test_another_function_is_another_version_and_the_old_rows_are_garbage(store: FeatureStore, tmp_path: Path) -> None:
    store.push("visits", VISITS)
    before = store.manifest.on_demand_views["engagement"]
    store.apply(definitions(tmp_path, factor=100))
    after = store.manifest.on_demand_views["engagement"]
    assert (before.version, after.version) == (1, 2)
    assert scores(store, 1, 2) == [300, 400]
    store.push("visits", VISITS)
    assert (stored(store, before.storage_id), stored(store, after.storage_id)) == (2, 2)
    [garbage] = store.gc(dry_run=False)
    assert (garbage.view, garbage.version, garbage.has_table, garbage.freed) == ("engagement", 1, False, 2)
    assert (store.gc(), scores(store, 1, 2), stored(store, after.storage_id)) == ([], [300, 400], 2)
    with pytest.raises(StateError, match="engagement: an on-demand view is computed by the applied function"):
        store.rollback("engagement")
    assert [view.name for view in applied_versions(store.runtime)] == ["visit", "engagement", "engagement"]


def test_a_view_that_is_written_no_more_is_computed_and_its_rows_are_garbage(
    store: FeatureStore, tmp_path: Path
) -> None:
    store.push("visits", VISITS | {"score": [7, 8]}, transform_on_write=False)
    store.apply(definitions(tmp_path, factor=10, write_to_online_store=False))
    assert scores(store, 1, 2) == [30, 40]
    [garbage] = store.gc(dry_run=False)
    assert garbage.freed == 2
    store.apply(definitions(tmp_path, factor=10))
    assert (scores(store, 1), store.manifest.on_demand_views["engagement"].version) == ([30], 1)


def test_a_teardown_deletes_what_was_written(store: FeatureStore) -> None:
    store.push("visits", VISITS)
    assert store.teardown() == {"visit": 2, "engagement": 2}


def test_the_training_set_has_no_table_of_it(store: FeatureStore) -> None:
    with pytest.raises(Exception, match="has no offline table"):
        store.write_to_offline_store("engagement", {"user_id": [1], "depth": [3]})


def test_a_view_of_request_values_alone_is_stored_by_its_entities(store: FeatureStore, tmp_path: Path) -> None:
    user, visit, _ = definitions(tmp_path, factor=10)
    made = OnDemandFeatureView(
        name="engagement",
        entities=[user],  # type: ignore[list-item]
        sources=[RequestSource(name="request", schema=[Field(name="depth", dtype=Int64)])],
        schema=[Field(name="score", dtype=Int64)],
        function=function(tmp_path, 10),
        write_to_online_store=True,
    )
    store.apply([user, visit, made])
    assert store.write_to_online_store("engagement", {"user_id": [1, 2], "depth": [3, 4]}).written == 2
    assert scores(store, 1, 2, 3) == [30, 40, None]
    answer = store.get_online_features(["engagement:score"], {"user_id": [1, 3], "depth": [5, 6]})
    assert answer["score"] == [50, 60]


def test_the_commands_know_written_views(store: FeatureStore, url: str, tmp_path: Path) -> None:
    settings = store.settings
    config = {
        "project": settings.project,
        "registry": settings.registry_url,
        "offline_store": {"path": settings.offline_path},
        "online_store": {"connection_string": url},
    }
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (tmp_path / "rows.csv").write_text("user_id,page,depth,score\n1,home,3,7\n", encoding="utf-8")

    def run(*argv: str) -> str:
        result = CliRunner().invoke(cli, ["--repo", str(tmp_path), *argv], prog_name="featurestore")
        assert result.exit_code == 0, result.output
        return result.stdout

    assert run("push", "visits", str(tmp_path / "rows.csv"), "--no-transform") == "2 written\n"
    assert scores(store, 1) == [7]
    assert "engagement version 1 is written with visit\n" in run("status")
    assert json.loads(run("status", "--json"))["written_on_demand_views"] == {
        "engagement": {"version": 1, "join_keys": ["user_id"], "written_with": ["visit"]}
    }
    [listed] = json.loads(run("list", "on-demand-views", "--json"))
    assert listed == {"name": "engagement", "features": "score", "written": "yes", "keys": "user_id", "version": 1}
