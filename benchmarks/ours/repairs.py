"""Live repair of predictions, and a day of traffic: ``python -m benchmarks.ours.repairs``."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import VIEWS, view_table
from benchmarks.ours.bench_models.mean import load_slow
from benchmarks.ours.project import open_project, prediction_view, stored_view
from benchmarks.protocol import serve
from featurestore import FeatureStore

_VIEW = VIEWS["ten"]
_SCORE = f"{_VIEW.name}_score"
_REF = f"{_SCORE}:score"
_opened: list[FeatureStore] = []
_missing = itertools.count(1)


def open_store(folder: str, url: str, name: str, users: int, load: str, max_age_seconds: float) -> None:
    """Make a project whose predictions are made by the model that ``load`` names; all users have features."""
    root = Path(folder)
    root.mkdir()
    pq.write_table(view_table(_VIEW, 1), root / "rows.parquet")
    view = stored_view(_VIEW, root / "rows.parquet")
    score = prediction_view(view, load=load, max_age=timedelta(seconds=max_age_seconds))
    store = open_project(root, name, url, [view, score])
    store.write_to_online_store(_VIEW.name, view_table(_VIEW, users))
    store.get_online_features([f"{_VIEW.name}:{_VIEW.columns[0]}"], [{"user_id": 1}])
    _opened.append(store)


def repair(calls: int) -> list[int]:
    """Look up predictions that nobody has made yet, one user at a time; give nanoseconds."""
    times = []
    for user in itertools.islice(_missing, calls):
        start = time.perf_counter_ns()
        response = _opened[-1].get_online_features([_REF], [{"user_id": user}])
        times.append(time.perf_counter_ns() - start)
        if response.predictions[_SCORE][0].status != "LIVE":
            raise AssertionError(f"user {user}: {response.predictions[_SCORE][0]}")
    return times


def bare(calls: int) -> list[int]:
    """Call the model itself with one row."""
    model = load_slow()
    row = {column: np.array([0.5]) for column in _VIEW.columns}
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        model.predict(row)
        times.append(time.perf_counter_ns() - start)
    return times


def day(users: int, requests: int, seconds: float) -> dict[str, Any]:
    """Live through a day in ``seconds``: requests by Zipf's law, and features that change for a few users all the time.

    Gives for each request the time of day (0..1), the status, and the prediction's age as a share of the day.
    """
    store, random = _opened[-1], np.random.default_rng(7)
    weights = 1.0 / np.arange(1, users + 1) ** 1.1
    asked = random.choice(users, requests, p=weights / weights.sum())
    order = random.permutation(users) + 1
    begun, found = time.perf_counter(), []
    changed_hours = 0
    for number, rank in enumerate(asked.tolist()):
        due = begun + seconds * number / requests
        if (early := due - time.perf_counter()) > 0:
            time.sleep(early)
        passed = (time.perf_counter() - begun) / seconds
        while changed_hours < int(passed * 24):
            changed_hours += 1
            _change(store, random.choice(users, max(users // 50, 1), replace=False) + 1)
        response = store.get_online_features([_REF], [{"user_id": int(order[rank])}])
        answer = response.predictions[_SCORE][0]
        age = 0.0 if answer.age is None else answer.age.total_seconds() / seconds
        found.append((round(passed, 5), str(answer.status), round(age, 5)))
    return {"answers": found, "statuses": Counter(status for _, status, _ in found)}


def _change(store: FeatureStore, users: np.ndarray[Any, Any]) -> None:
    """Write new features of some users, as of now."""
    table = view_table(_VIEW, len(users)).drop_columns(["user_id", "event_timestamp"])
    store.write_to_online_store(_VIEW.name, table.append_column("user_id", pa.array(users)))


if __name__ == "__main__":
    serve({verb.__name__: verb for verb in (open_store, repair, bare, day)})
