"""Feast's side of each comparison: ``python -m benchmarks.feast.worker`` in Feast's own environment."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64

from benchmarks.data import CASES, VIEWS, ViewShape, draw_users, view_table
from benchmarks.protocol import serve
from benchmarks.timing import time_calls

_CONFIG = """project: bench
provider: local
registry: {folder}/registry.db
online_store: {{type: redis, connection_string: "{address}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""
_opened: list[FeatureStore] = []


def _store() -> FeatureStore:
    return _opened[-1]


def open_store(folder: str, address: str, views: list[str]) -> None:
    """Write a repo in ``folder`` and apply the views; ``address`` is host:port of the Redis server."""
    repo = Path(folder)
    repo.mkdir(parents=True, exist_ok=True)
    (repo / "feature_store.yaml").write_text(_CONFIG.format(folder=folder, address=address), encoding="utf-8")
    store = FeatureStore(repo_path=folder)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    store.apply([user, *(_view(VIEWS[name], user, repo) for name in views)])
    _opened.append(store)


def _view(shape: ViewShape, user: Entity, folder: Path) -> FeatureView:
    return FeatureView(
        name=shape.name,
        entities=[user],
        ttl=timedelta(days=30),
        schema=[Field(name=column, dtype=Float32 if shape.is_single else Float64) for column in shape.columns],
        source=FileSource(path=str(folder / f"{shape.name}.parquet"), timestamp_field="event_timestamp"),
    )


def load(view: str, users: int) -> None:
    """Write all users' rows to Redis."""
    _store().write_to_online_store(view, view_table(VIEWS[view], users).to_pandas())


@cache
def _requests(case: str, users: int, turn: int) -> Any:
    return draw_users(CASES[case], users, 500, seed=turn)


def lookup(case: str, users: int, turn: int, seconds: float) -> list[int]:
    """Look up, with ``to_dict()``, for some seconds."""
    store, refs = _store(), CASES[case].refs

    def call(ids: list[int]) -> dict[str, Any]:
        rows = [{"user_id": user} for user in ids]
        return store.get_online_features(features=refs, entity_rows=rows).to_dict()

    return time_calls(call, _requests(case, users, turn), seconds)


def answer(case: str, users: list[int]) -> dict[str, Any]:
    """Give one lookup's answer."""
    rows = [{"user_id": user} for user in users]
    return _store().get_online_features(features=CASES[case].refs, entity_rows=rows).to_dict()


def materialize(view: str, path: str) -> float:
    """Materialize a Parquet file, and give the seconds."""
    folder = Path(path)
    store = _store()
    store.apply([_view(VIEWS[view], store.get_entity("user"), folder)])
    now = datetime.now(UTC)
    start = time.perf_counter()
    store.materialize(now - timedelta(days=2), now, feature_views=[view])
    return time.perf_counter() - start


if __name__ == "__main__":
    serve({verb.__name__: verb for verb in (open_store, load, lookup, answer, materialize)})
