"""Several writers, deletions and version switches in any order: what stands is what the rules say, in every store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.codec.keys import pointer_key
from featurestore.codec.pointer import Pointer, VersionRef, ViewPointer
from featurestore.ingest.writer import OnlineWriter
from featurestore.ir.nodes import ViewNode
from featurestore.serving.client import OnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.spec.dtypes import Int64
from featurestore.stores.base import OnlineStore
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.nodes import manifest_of, plain_view
from tests.support.online import running_redis
from tests.support.serving import field

OLD = plain_view(name="seen", features=(field("a", Int64),), version=1, storage_id=1)
NEW = plain_view(name="seen", features=(field("a", Int64), field("b", Int64)), version=2, storage_id=2)
MANIFEST = manifest_of(NEW)
MANIFESTS = FixedManifests(MANIFEST, (OLD,))
EPOCH = datetime(2026, 1, 1)
POINTERS = {
    "old": ViewPointer(version=1, storage_id=1),
    "building": ViewPointer(version=1, storage_id=1, building=VersionRef(version=2, storage_id=2)),
    "new": ViewPointer(version=2, storage_id=2, warm=(VersionRef(version=1, storage_id=1),)),
}


@pytest.fixture(scope="module", params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    folder: Path = tmp_path_factory.mktemp("r")
    with running_redis(folder) as url:
        opened = RedisOnlineStore.connect(url)
        yield opened
        opened.close()


def clear(store: OnlineStore) -> None:
    for keys in list(store.scan(b"*", lot=1000)):
        store.delete(keys)
    for storage_id in (1, 2):
        store.delete([f"featurestore:keys:1:{storage_id}".encode()])


def point(store: OnlineStore, entry: ViewPointer) -> None:
    pointer = Pointer(project="shop", project_id=1, generation=1, views={"seen": entry})
    store.put_record(pointer_key("shop"), pointer.to_bytes())


def writer_of(store: OnlineStore) -> OnlineWriter:
    return OnlineWriter(store, "shop", manifests=MANIFESTS)


def read(store: OnlineStore, view: ViewNode, users: list[int]) -> list[Any]:
    client = OnlineClient(store, "shop", manifests=MANIFESTS)
    found: list[Any] = client.get_online_features([f"seen@{view.version}:a"], {"user_id": users})["a"]
    return found


def instant(number: int) -> datetime:
    return EPOCH + timedelta(seconds=number)


class SwitchingStore(CountingStore):
    """Changes the pointer record right before the ``at``-th call that a writer makes."""

    def __init__(self, inner: OnlineStore, at: int, entry: ViewPointer) -> None:
        super().__init__(inner)
        self._calls = 0
        self._at = at
        self._entry = entry

    @property
    def has_switched(self) -> bool:
        return self._calls >= self._at

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("read", "write_if_newer", "add_members", "time_micros"):
            self._calls += 1
            if self._calls == self._at:
                point(self._inner, self._entry)
        return found


@pytest.mark.parametrize(
    ("before", "after"), [("old", "building"), ("building", "new"), ("old", "new"), ("new", "old")]
)
@pytest.mark.parametrize("at", range(1, 12))
def test_a_switch_at_any_line_of_a_write_loses_nothing(store: OnlineStore, at: int, before: str, after: str) -> None:
    clear(store)
    point(store, POINTERS[before])
    switching = SwitchingStore(store, at, POINTERS[after])
    writer_of(switching).write("seen", {"user_id": [1], "a": [7], "b": [8]})
    # Where the write was over before, it need not be in a version that comes up later.
    seen = POINTERS[after if switching.has_switched else before]
    assert read(store, OLD if seen.version == 1 else NEW, [1]) == [7]
    if at > 8:
        assert not switching.has_switched, "the last call is the second look at the pointer record"


ROWS = st.tuples(st.integers(1, 2), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
"""User, event, created, value."""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.lists(ROWS, min_size=1, max_size=3)),
        st.tuples(st.just("replay"), st.integers(0, 2), st.integers(0, 20)),
        st.tuples(st.just("delete"), st.integers(0, 2), st.integers(1, 2)),
        st.tuples(st.just("switch"), st.sampled_from(["old", "building", "new"]), st.just(0)),
    ),
    max_size=14,
)


@given(steps=STEPS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_stands_is_the_greatest_statement_whoever_made_it(store: OnlineStore, steps: list[Any]) -> None:
    """The model: of each key and live version the greatest (event, created), ties by the store's own digest."""
    clear(store)
    entry = POINTERS["old"]
    point(store, entry)
    writers = [writer_of(store) for _ in range(3)]
    model: dict[tuple[int, int], dict[tuple[int, int], set[int | None]]] = {}
    frames: list[dict[str, list[Any]]] = []

    def state(user: int, event: int, created: int, value: int | None) -> None:
        for ref in entry.live():
            model.setdefault((ref.version, user), {}).setdefault((event, created), set()).add(value)

    for kind, who, what in steps:
        if kind == "switch":
            entry = POINTERS[who]
            point(store, entry)
        elif kind == "delete":
            writers[who].delete("seen", [{"user_id": what}])
            now = store.time_micros()
            state(what, now, now, None)
        elif kind == "write" or frames:
            if kind == "write":
                frames.append(frame_of(what))
            frame = frames[-1] if kind == "write" else frames[what % len(frames)]
            written = {name: column for name, column in frame.items() if len(name) > 1 or name in "ab"}
            writers[who].write("seen", written)
            for row in zip(frame["user_id"], frame["e"], frame["c"], frame["a"], strict=True):
                state(*row)
    for (version, user), statements in model.items():
        latest = max(statements)
        found = read(store, OLD if version == 1 else NEW, [user])[0]
        assert found in statements[latest]


def frame_of(rows: list[tuple[int, int, int, int]]) -> dict[str, list[Any]]:
    users, events, created, values = (list(column) for column in zip(*rows, strict=True))
    return {
        "user_id": users,
        "a": values,
        "b": values,
        "event_timestamp": [instant(number) for number in events],
        "created_timestamp": [instant(number) for number in created],
        "e": events,
        "c": created,
    }
