"""A small project whose publications, scorings, version switches and lookups interleave.

A score tells what it was made from: the model's version times a million, plus the number of the feature row. So the
oracle (``prediction_oracle``) judges an answer by its value and by a record of what was written when; it knows nothing
of digests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_schema
from featurestore.codec.digest import inputs_digest
from featurestore.codec.keys import KeyCodec, manifest_key, nodes_key, pointer_key
from featurestore.codec.pointer import Pointer, VersionRef, ViewPointer
from featurestore.codec.value import RowCodec
from featurestore.intervals import to_micros
from featurestore.ir.columns import stored_features
from featurestore.ir.nodes import ModelNode, PredictionViewNode, StoredViewNode
from featurestore.ir.older import older_to_json
from featurestore.ir.serialize import manifest_to_json
from featurestore.serving.client import OnlineClient
from featurestore.serving.core import Block, LookupRequest, Read
from featurestore.serving.inference_options import InferenceOptions
from featurestore.stores.base import OnlineStore
from featurestore.stores.row_locks import RowResult
from tests.support.nodes import manifest_of
from tests.support.prediction_oracle import GRACE, MAX_AGE, MILLION, FeatureRow, Served
from tests.support.serving import scores, user_data

__all__ = ["USERS", "Interleaved"]

USERS = (1, 2)
PROJECT = "interleaved"
SCORE = "model_predictions:score"


@dataclass(slots=True, kw_only=True)
class _Model:
    world: Interleaved

    def predict(self, model: ModelNode, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        numbers = inputs["number_of_clicks"]
        self.world.pause()
        return {"score": numbers * 1.0 + int(model.version) * MILLION}


class _Locks:
    """The store's locks with a pause before each step; notes which predictions were written, and their time."""

    def __init__(self, world: Interleaved, inner: Any) -> None:
        self._world = world
        self._inner = inner

    def claim(self, *arguments: Any, **options: Any) -> Any:
        self._world.pause()
        return self._inner.claim(*arguments, **options)

    def renew(self, *arguments: Any, **options: Any) -> Any:
        return self._inner.renew(*arguments, **options)

    def settle(self, results: Sequence[RowResult], *arguments: Any, **options: Any) -> Any:
        self._world.pause()
        count = self._inner.settle(results, *arguments, **options)
        self._world.note([result.value for result in results if result.value is not None])
        return count


class _Store:
    def __init__(self, world: Interleaved, inner: OnlineStore) -> None:
        self._world = world
        self._inner = inner

    def row_locks(self) -> Any:
        return _Locks(self._world, self._inner.row_locks())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Interleaved:
    """The project. Every method is one atomic step of somebody, but for ``look``: it runs others' in its pauses."""

    def __init__(self, store: OnlineStore, clock: Callable[[], datetime]) -> None:
        self.store = store
        self._now = clock
        self._offset = timedelta(0)
        self.features = user_data()
        self.version = 1
        self.rows: dict[int, FeatureRow] = {}
        self.made: dict[tuple[int, int], int] = {}
        self._numbers = 0
        self._scored: list[tuple[PredictionViewNode, int, dict[int, FeatureRow]]] = []
        self._steps: list[Sequence[Callable[[], None]]] = []
        self._depth = 0
        views = (self.features, self.view)
        self.pointer = Pointer(
            project=PROJECT,
            project_id=store.project_id(PROJECT),
            generation=1,
            views={v.name: ViewPointer(version=v.version, storage_id=v.storage_id) for v in views},
        )
        self._announce([])
        self._clients = [self._open(), self._open()]

    @property
    def view(self) -> PredictionViewNode:
        return self._node(self.version)

    def now(self) -> datetime:
        return self._now() + self._offset

    # Steps of others

    def advance(self, hours: float) -> None:
        self._offset += timedelta(hours=hours)

    def publish(self, user: int, event_hours: int, *, is_correction: bool) -> None:
        """Publish a feature row: of another event time, or a correction of the one that stands."""
        self._numbers += 1
        old = self.rows.get(user)
        now_us = to_micros(self.now())
        event_us = now_us + event_hours * 3_600_000_000
        if is_correction and old is not None:
            event_us = old.event_us
        created_us = max(now_us, old.created_us + 1) if old is not None else now_us
        row = FeatureRow(number=self._numbers, event_us=event_us, created_us=created_us)
        self._write(self.features, user, {"click_through_rate": 0.5, "number_of_clicks": row.number}, row)
        if old is None or (row.event_us, row.created_us) > (old.event_us, old.created_us):
            self.rows[user] = row

    def open_for_scoring(self) -> None:
        self._point(pending_since_us=to_micros(self.now()))

    def score(self) -> None:
        """Take what stands for the batch scoring that ``land`` publishes."""
        self._scored.append((self.view, to_micros(self.now()), dict(self.rows)))

    def land(self) -> None:
        """Publish the oldest scoring that is done, if its version is still the current one."""
        if not self._scored:
            return
        view, at_us, rows = self._scored.pop(0)
        for user, row in rows.items():
            micros = np.array([row.event_us]), np.array([row.created_us])
            digest = int(inputs_digest([(np.array([True]), *micros)])[0])
            score = float(row.number + view.version * MILLION)
            values = {"score": score, "inputs_digest": digest, "inputs_timestamp": None}
            stamp = FeatureRow(number=row.number, event_us=row.event_us, created_us=at_us)
            self.note([self._write(view, user, values, stamp)])
        if view.version == self.version:
            unchanged = all(rows.get(user) == row for user, row in self.rows.items())
            changes = {"pending_since_us": None} if unchanged else {}
            self._point(covered_until_us=at_us, **changes)

    def switch(self) -> None:
        """Apply a definition with the next version of the model."""
        old = self.view
        self.version += 1
        warm = (VersionRef(version=old.version, storage_id=old.storage_id),)
        entry = ViewPointer(version=self.version, storage_id=self.view.storage_id, warm=warm)
        self.pointer = replace(
            self.pointer, generation=self.version, views={**self.pointer.views, "model_predictions": entry}
        )
        self._announce([self._node(version) for version in range(1, self.version)])

    # A lookup, with the steps of others in its pauses

    def look(self, client: int, users: Sequence[int], steps: Sequence[Sequence[Callable[[], None]]] = ()) -> Served:
        """Look users up. ``steps`` are run in the lookup's pauses, a list in each; a look within waits for nobody."""
        before, self._steps = self._steps, list(steps)
        self._depth += 1
        try:
            return self._look(self._clients[client], users, 30.0 if self._depth == 1 else 0.02)
        finally:
            self._depth -= 1
            self._steps = before

    def pause(self) -> None:
        if self._steps:
            steps, outer = self._steps.pop(0), self._steps
            self._steps = []
            for step in steps:
                step()
            self._steps = outer

    def note(self, values: Sequence[bytes]) -> None:
        """Note which predictions were written; the newest time of each counts."""
        decoded = RowCodec(stored_features(self.view)).decode(values)
        for score, created in zip(decoded.columns["score"].values.tolist(), decoded.created_us.tolist(), strict=True):
            identity = divmod(int(score), MILLION)
            self.made[identity] = max(self.made.get(identity, created), created)

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _look(self, client: OnlineClient, users: Sequence[int], seconds: float) -> Served:
        lookup = client._core.lookup(
            LookupRequest(features=[SCORE], entity_rows={"user_id": list(users)}, ends=time.monotonic() + seconds)
        )
        pointer: Pointer | None = None
        standing: dict[int, FeatureRow] = {}
        made: dict[tuple[int, int], int] = {}
        now_us = to_micros(self.now())
        result: Any = None
        try:
            while True:
                step = lookup.send(result)
                match step:
                    case Read():
                        self.pause()
                        result = self.store.read(step.keys)
                        if not step.keys[-1].startswith(b"featurestore:"):
                            pointer = pointer or self.pointer
                            standing, made = dict(self.rows), dict(self.made)
                        self.pause()
                        now_us = to_micros(self.now())
                    case Block():
                        result = step.call()  # type: ignore[func-returns-value]
        except StopIteration as done:
            assert pointer is not None
            return Served(
                pointer=pointer, standing=standing, made=made, now_us=now_us, users=users, response=done.value
            )

    def _open(self) -> OnlineClient:
        return OnlineClient(
            _Store(self, self.store),  # type: ignore[arg-type]
            PROJECT,
            clock=self.now,
            predictor=_Model(world=self),
            inference=InferenceOptions(),
        )

    def _node(self, version: int) -> PredictionViewNode:
        view = scores(version=version, storage_id=10 + version, max_age=MAX_AGE, input_grace=GRACE)
        return replace(view, model=replace(view.model, version=str(version)), fingerprint=f"v{version}")

    def _announce(self, older: Sequence[StoredViewNode]) -> None:
        manifest = replace(manifest_of(self.features, self.view, project=PROJECT), generation=self.pointer.generation)
        self.store.put_record(nodes_key(PROJECT), older_to_json(older).encode())
        self.store.put_record(manifest_key(PROJECT), manifest_to_json(manifest).encode())
        self.store.put_record(pointer_key(PROJECT), self.pointer.to_bytes())

    def _point(self, **changes: Any) -> None:
        entry = replace(self.pointer.views["model_predictions"], **changes)
        self.pointer = self.pointer.with_view("model_predictions", entry)
        self.store.put_record(pointer_key(PROJECT), self.pointer.to_bytes())

    def _write(self, view: StoredViewNode, user: int, values: Mapping[str, Any], stamp: FeatureRow) -> bytes:
        fields = stored_features(view)
        [value] = RowCodec(fields).encode(
            pa.table({f.name: [values.get(f.name)] for f in fields}, schema=arrow_schema(fields)),
            event_us=np.array([stamp.event_us]),
            created_us=np.array([stamp.created_us]),
            holds=np.array([view is self.features]),
        )
        keys = KeyCodec(project_id=self.pointer.project_id, storage_id=view.storage_id, fields=view.join_keys)
        [key] = keys.encode({"user_id": [user]})
        assert key is not None
        self.store.write_if_newer([(key, value)])
        return value
