"""Our side of each comparison, and the bare floor: ``python -m benchmarks.ours.worker``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.data import CASES, VIEWS, draw_users, view_table
from benchmarks.lookup_floor import LookupFloor
from benchmarks.ours.callers import lookup_by_tasks, lookup_by_threads
from benchmarks.ours.project import make_project, model_calls
from benchmarks.protocol import serve
from benchmarks.timing import time_calls
from featurestore import FeatureStore
from featurestore.codec.keys import KeyCodec
from featurestore.ir.columns import stored_features

_opened: list[FeatureStore] = []
_floors: dict[str, LookupFloor] = {}


def _store() -> FeatureStore:
    return _opened[-1]


def open_store(folder: str, url: str, views: list[str]) -> None:
    """Make a project in ``folder`` with the views."""
    _opened.append(make_project(Path(folder), url, views))


def load(view: str, users: int) -> None:
    """Write all users' rows to Redis."""
    _store().write_to_online_store(view, view_table(VIEWS[view], users))


@cache
def _requests(case: str, users: int, turn: int) -> Any:
    return draw_users(CASES[case], users, 500, seed=turn)


def lookup(case: str, users: int, turn: int, seconds: float, more: Sequence[str] = ()) -> list[int]:
    """Look up, with ``to_dict()``, for some seconds; ``more`` features than those of the case."""
    store, refs = _store(), [*CASES[case].refs, *more]

    def call(ids: list[int]) -> dict[str, Any]:
        return store.get_online_features(features=refs, entity_rows=[{"user_id": user} for user in ids]).to_dict()

    return time_calls(call, _requests(case, users, turn), seconds)


def answer(case: str, users: list[int]) -> dict[str, Any]:
    """Give one lookup's answer."""
    rows = [{"user_id": user} for user in users]
    return dict(_store().get_online_features(features=CASES[case].refs, entity_rows=rows).to_dict())


def lookup_by(kind: str, case: str, users: int, turn: int, seconds: float, callers: int) -> tuple[list[int], float]:
    """Look up by many callers at once, ``threads`` or ``tasks``."""
    look = lookup_by_threads if kind == "threads" else lookup_by_tasks
    return look(_store(), CASES[case].refs, _requests(case, users, turn), seconds, callers)


def predict_all(ref: str, users: int) -> None:
    """Have every user's prediction made and kept."""
    _store().get_online_features([ref], {"user_id": list(range(1, users + 1))}, deadline=60).to_dict()


def open_floor(case: str, url: str, users: int) -> None:
    """Copy the views' values to plain keys, as the floor reads them."""
    store, ids = _store(), list(range(1, users + 1))
    nodes = [store.manifest.stored_view(view.name) for view in CASES[case].views]
    stored = {node.name: [field.name for field in stored_features(node)] for node in nodes}
    floor = LookupFloor(Redis.from_url(url), stored)
    for node in nodes:
        codec = KeyCodec(project_id=1, storage_id=node.storage_id, fields=node.join_keys)
        keys = [key for key in codec.encode({"user_id": ids}) if key is not None]
        values = store.runtime.online.read(keys)
        floor.copy(node.name, {user: value for user, value in zip(ids, values, strict=True) if value is not None})
    _floors[case] = floor


def floor_lookup(case: str, users: int, turn: int, seconds: float) -> list[int]:
    """Look up without the SDK."""
    return time_calls(_floors[case].lookup, _requests(case, users, turn), seconds)


def floor_answer(case: str, users: list[int]) -> dict[str, Any]:
    """Give one answer of the floor."""
    return _floors[case].lookup(users)


VERBS = (
    open_store,
    load,
    lookup,
    lookup_by,
    answer,
    predict_all,
    model_calls,
    open_floor,
    floor_lookup,
    floor_answer,
)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})
