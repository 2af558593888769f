"""Versions of a view online: switch, rollback, what gets freed; on a real Redis, without Spark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import redis

from featurestore import FeatureStore, Field, Model, PredictionView
from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.errors import FeatureNotFound, StateError
from featurestore.runtime.pointer import read_pointer
from featurestore.types import Float64
from tests.support.pushed import DAY, START, make_definitions, open_pushed, publish_as_done

pytestmark = pytest.mark.redis


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[FeatureStore]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
    with open_pushed(tmp_path, url) as opened:
        opened.apply(make_definitions(tmp_path))
        yield opened


def push(store: FeatureStore, plan: str, user: int = 1, *, seats: bool = True) -> None:
    store.push("updates", {"user_id": [user], "plan": [plan], **({"seats": [len(plan)]} if seats else {})})


def plan(store: FeatureStore, ref: str = "account:plan", user: int = 1) -> str | None:
    found: list[str | None] = store.get_online_features([ref], [{"user_id": user}])["plan"]
    return found[0]


def publish(store: FeatureStore, until: datetime) -> None:
    """Do what ends a publication: marker and pointer."""
    view = store.manifest.stored_view("account")
    project_id = store.runtime.online.project_id("shop")
    store.runtime.online.put_record(marker_key(project_id, view.storage_id), Marker(delta_version=0).to_bytes())
    publish_as_done(store, "account", until)


def served(store: FeatureStore) -> tuple[int, list[int]]:
    pointer = read_pointer(store.runtime)
    assert pointer is not None
    entry = pointer.views["account"]
    return entry.version, [ref.version for ref in entry.warm]


def second_version(store: FeatureStore, folder: Path, until: datetime = START + 2 * DAY) -> None:
    publish(store, START + DAY)
    push(store, "pro")
    store.apply(make_definitions(folder, extra=True))
    push(store, "max")
    publish(store, until)


def test_a_rollback_serves_the_version_before_and_says_how_stale_it_is(store: FeatureStore, tmp_path: Path) -> None:
    second_version(store, tmp_path)
    assert served(store) == (2, [1])
    result = store.rollback("account")
    assert (result.left, result.served, result.behind, result.is_stale) == (2, 1, DAY, True)
    assert str(result) == (
        "account: version 1 is served again, covered until 2026-01-02T00:00:00Z, 1d behind version 2"
    )
    assert (served(store), plan(store)) == ((1, [2]), "max")
    with pytest.raises(FeatureNotFound, match="no feature 'seats'"):
        store.get_online_features(["account:seats"], [{"user_id": 1}])


def test_publications_and_applies_of_what_was_rolled_back_do_not_undo_it(store: FeatureStore, tmp_path: Path) -> None:
    second_version(store, tmp_path)
    store.rollback("account")
    publish(store, START + 3 * DAY)
    store.apply(make_definitions(tmp_path, extra=True))
    assert served(store) == (1, [2])
    push(store, "later")
    assert (plan(store), plan(store, "account@2:plan")) == ("later", "later")
    forward = store.rollback("account")
    assert (forward.served, forward.behind, forward.covered_until) == (2, -2 * DAY, START + 3 * DAY)
    assert served(store) == (2, [1])
    publish(store, START + 4 * DAY)
    assert served(store) == (2, [1])


def test_other_definitions_end_a_rollback(store: FeatureStore, tmp_path: Path) -> None:
    second_version(store, tmp_path)
    store.rollback("account")
    store.apply(make_definitions(tmp_path))
    publish(store, START + 3 * DAY)
    assert served(store) == (1, [2])
    store.apply(make_definitions(tmp_path, extra=True))
    publish(store, START + 3 * DAY)
    assert served(store) == (2, [1])


def test_a_model_is_rolled_back_too(store: FeatureStore, tmp_path: Path) -> None:
    push(store, "pro")
    store.write_to_online_store("churn", {"user_id": [1], "score": [0.1]})
    store.apply(make_definitions(tmp_path, model="2"))
    answer = store.get_online_features(["churn:score"], [{"user_id": 1}])
    assert (answer["score"], str(answer.predictions["churn"][0].status)) == ([0.1], "STALE")
    store.rollback("churn")
    answer = store.get_online_features(["churn:score"], [{"user_id": 1}])
    assert (answer["score"], str(answer.predictions["churn"][0].status)) == ([0.1], "CACHED")
    assert answer.predictions["churn"][0].model_version == "1"


def test_what_cannot_be_rolled_back_to_is_told(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"account: no older version is warm; version 1 is served, warm: none"):
        store.rollback("account")
    with pytest.raises(FeatureNotFound, match="'acount' is not served online: did you mean 'account'"):
        store.rollback("acount")
    second_version(store, tmp_path)
    with pytest.raises(StateError, match="version 7 is not warm"):
        store.rollback("account", 7)
    project_id = store.runtime.online.project_id("shop")
    store.runtime.online.delete([marker_key(project_id, 1)])
    with pytest.raises(StateError, match="version 1 is warm, but its publication is gone"):
        store.rollback("account")


def test_warm_versions_are_bounded_and_gc_frees_the_rest(url: str, store: FeatureStore, tmp_path: Path) -> None:
    store.settings = replace(store.settings, publish=replace(store.settings.publish, warm_versions=0))
    store.close()
    second_version(store, tmp_path)
    assert served(store) == (2, [])
    before = all_keys(url)
    [garbage] = store.gc()
    assert (garbage.view, garbage.version, garbage.freed) == ("account", 1, None)
    assert all_keys(url) == before
    [freed] = store.gc(dry_run=False)
    assert freed.freed == 1
    assert (plan(store), store.gc(dry_run=False)) == ("max", [])
    assert len(before - all_keys(url)) == 3  # the row, its index, the marker


def test_a_view_that_is_taken_out_is_freed_alone(url: str, store: FeatureStore, tmp_path: Path) -> None:
    push(store, "pro")
    store.push("sessions", {"user_id": [1, 2], "page": ["a", "b"]})
    definitions = make_definitions(tmp_path)
    store.apply([definition for definition in definitions if getattr(definition, "name", "") != "session"])
    with pytest.raises(FeatureNotFound, match="no view 'session'"):
        store.get_online_features(["session:page"], [{"user_id": 1}])
    assert [(found.view, found.freed) for found in store.gc(dry_run=False)] == [("session", 2)]
    assert plan(store) == "pro"
    store.apply(definitions)
    assert store.get_online_features(["session:page"], [{"user_id": 1}])["page"] == [None]


def test_predictions_that_lookups_made_are_freed_with_their_view(url: str, store: FeatureStore, tmp_path: Path) -> None:
    model = "class Constant:\n    def predict(self, inputs):\n        return {'score': [0.5] * len(inputs['plan'])}\n"
    (tmp_path / "constant_model.py").write_text(model, encoding="utf-8")
    user, account, *_ = definitions = make_definitions(tmp_path)
    live = PredictionView(
        name="live",
        entities=[user],
        features=account[["plan"]],
        model=Model(name="constant", version="1", load="constant_model:Constant"),
        outputs=[Field(name="score", dtype=Float64)],
    )
    store.apply([*definitions, live])
    push(store, "pro")
    push(store, "max", user=2)
    before = all_keys(url)
    for _ in range(2):
        assert store.get_online_features(["live:score"], {"user_id": [1, 2]})["score"] == [0.5, 0.5]
    assert len(all_keys(url) - before) == 3  # the predictions, and their index
    store.apply(definitions)
    assert [(found.view, found.freed) for found in store.gc(dry_run=False)] == [("live", 2)]
    assert all_keys(url) - before == set()


def test_projects_and_views_whose_names_begin_alike_never_touch_each_other(
    url: str, store: FeatureStore, tmp_path: Path
) -> None:
    push(store, "mine")
    stores = {}
    for name in ("sho", "shop_2", "shopping"):
        folder = tmp_path / name
        folder.mkdir()
        stores[name] = open_pushed(folder, url, project=name)
        stores[name].apply(make_definitions(folder))
        push(stores[name], name)
        stores[name].push("sessions", {"user_id": [1], "page": [name]})
    stores["sho"].teardown()
    stores["shopping"].apply([])
    assert sorted(found.view for found in stores["shopping"].gc(dry_run=False)) == ["account", "session"]
    assert stores["shopping"].scan_orphans() == 0
    assert (plan(store), plan(stores["shop_2"])) == ("mine", "shop_2")
    with redis.Redis.from_url(url) as client:
        row = client.keys("{*")
    assert len(row) == 3
    for opened in stores.values():
        opened.close()


def test_a_scan_finds_rows_that_nothing_else_knows(url: str, store: FeatureStore, tmp_path: Path) -> None:
    push(store, "pro")
    push(store, "pro", user=2)
    view = store.manifest.stored_view("account")
    store.apply([definition for definition in make_definitions(tmp_path) if getattr(definition, "name", "") == "user"])
    with redis.Redis.from_url(url) as client:
        client.delete(f"featurestore:keys:1:{view.storage_id}")
    assert store.gc(dry_run=False) == []
    assert (store.scan_orphans(), store.scan_orphans(dry_run=False), store.scan_orphans()) == (2, 2, 0)


def test_writes_that_arrive_during_a_switch_are_not_lost(store: FeatureStore, tmp_path: Path) -> None:
    """A producer pushes all the time while versions are applied and switched: every accepted row is then served."""
    publish(store, START + DAY)
    push(store, "first")
    stop, accepted, failures = threading.Event(), [], []

    def produce() -> None:
        with FeatureStore(store.settings.repo, config=config_of(store)) as producer:
            number = 0
            while not stop.is_set():
                number += 1
                result = producer.push(
                    "updates", {"user_id": [number], "plan": [f"p{number}"], "seats": [number], "churn": [0.5]}
                )
                if result.skipped or result.written != 2:
                    failures.append(result)
                accepted.append(number)

    threads = [threading.Thread(target=produce)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 8):
            wait_until_more(accepted, failures, threads[0])
            store.apply(make_definitions(tmp_path, extra=number % 2 == 0))
            publish(store, START + number * DAY)
        wait_until_more(accepted, failures, threads[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    answer = store.get_online_features(["account:plan"], {"user_id": accepted})
    assert answer["plan"] == [f"p{number}" for number in accepted]
    for version in (1, 2):
        pinned = store.get_online_features([f"account@{version}:plan"], {"user_id": accepted})
        assert pinned["plan"][-1] == f"p{accepted[-1]}"


def wait_until_more(accepted: list[int], failures: list[object], producer: threading.Thread) -> None:
    """Let the producer write five more times: so many writes lie before, between and after any two switches."""
    enough, last = len(accepted) + 5, time.monotonic() + 60
    while len(accepted) < enough:
        assert failures == []
        assert producer.is_alive(), f"the producer ended after {len(accepted)} writes"
        assert time.monotonic() < last, f"{len(accepted)} of {enough} writes were accepted within 60 s"
        time.sleep(0.001)


def config_of(store: FeatureStore) -> dict[str, object]:
    return {"project": "shop", "online_store": {"connection_string": store.settings.redis_url}}


def all_keys(url: str) -> set[bytes]:
    with redis.Redis.from_url(url) as client:
        return set(client.keys("*"))
