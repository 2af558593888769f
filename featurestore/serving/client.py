"""The lookup: one round trip from entity rows to features and predictions."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from featurestore.codec.keys import pointer_key
from featurestore.errors import DeadlineExceeded, FeatureNotFound
from featurestore.intervals import to_micros, utc_now
from featurestore.retrieval.plan import OnDemandOutput, PredictionOutput, PredictionPlan, StoredOutput
from featurestore.retrieval.planner import Features
from featurestore.serving.entity_rows import EntityColumns, EntityRows, read_entity_rows
from featurestore.serving.frame import CodeCheck, Frame
from featurestore.serving.inference import Inference, LocalModels, Predictor
from featurestore.serving.manifests import ManifestSource, StoredManifests
from featurestore.serving.policies import settle
from featurestore.serving.predictions import PredictionRows
from featurestore.serving.response import OnlineResponse, OutputColumn
from featurestore.serving.rows import ViewRows
from featurestore.serving.snapshot import BoundPlan, Snapshot
from featurestore.stores.base import OnlineStore

__all__ = ["OnlineClient"]

_Blobs = Sequence[bytes | None]


class OnlineClient:
    """Reads features and predictions of one project; threads may share it.

    ``manifests`` default to what ``apply`` left in the online store. ``code_path`` (a folder or a zip of the
    definitions) is put on the import path for on-demand functions and models; ``check_code`` is asked before any of
    it runs. ``predictor`` says where models run, in this process by default. ``deadline`` is the default for a call.
    """

    def __init__(
        self,
        store: OnlineStore,
        project: str,
        *,
        manifests: ManifestSource | None = None,
        clock: Callable[[], datetime] = utc_now,
        deadline: timedelta | float | None = None,
        code_path: Path | str | None = None,
        check_code: CodeCheck | None = None,
        predictor: Predictor | None = None,
    ) -> None:
        self._store = store
        self._pointer_key = pointer_key(project)
        self._manifests = manifests or StoredManifests(store, project)
        self._clock = clock
        self._deadline = _seconds(deadline)
        self._check_code = check_code
        self._inference = Inference(store, predictor or LocalModels(check_code))
        self._snapshot: Snapshot | None = None
        if code_path is not None and str(code_path) not in sys.path:
            sys.path.insert(0, str(code_path))

    def get_online_features(
        self,
        features: Features,
        entity_rows: EntityRows,
        *,
        full_feature_names: bool = False,
        deadline: timedelta | float | None = None,
        repair: bool = True,
    ) -> OnlineResponse:
        """Look up features and predictions for each entity row, in its order; duplicates are fine.

        ``features`` are references (``view:feature``, ``view@2:feature``), a service, or a service's name.
        ``deadline`` bounds the call in seconds. Predictions that their view wants inferred are made and written back
        unless ``repair`` is False: then stale ones are served as such.
        """
        ends = _ends(self._deadline if deadline is None else _seconds(deadline))
        snapshot, bound = self._plan(features, full_feature_names, ends)
        request = read_entity_rows(entity_rows, bound.needed)
        if not request.count:
            return self._answer(snapshot, bound, request, *_nothing(bound), repair=False)
        keys = _encode(bound, request)
        record, blobs = self._read(keys, request.count, ends)
        if record != snapshot.record:
            self._snapshot = snapshot = Snapshot(self._manifests, record)
            before, bound = bound, snapshot.bound(features, full_feature_names)
            if bound.storage != before.storage or bound.needed != before.needed:
                request = read_entity_rows(entity_rows, bound.needed)
                keys = _encode(bound, request)
                _, blobs = self._read(keys, request.count, ends)
        return self._answer(snapshot, bound, request, keys, blobs, repair=repair)

    def _plan(self, features: Features, full_names: bool, ends: float | None) -> tuple[Snapshot, BoundPlan]:
        """Plan on the state last seen; a name that it lacks may have been applied since."""
        seen = self._snapshot
        if seen is not None:
            try:
                return seen, seen.bound(features, full_names)
            except FeatureNotFound:
                if self._take_snapshot(ends).record == seen.record:
                    raise
        snapshot = self._snapshot or self._take_snapshot(ends)
        return snapshot, snapshot.bound(features, full_names)

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    def _take_snapshot(self, ends: float | None) -> Snapshot:
        record = self._store.read([self._pointer_key], deadline=_left(ends))[0]
        self._snapshot = Snapshot(self._manifests, record)
        return self._snapshot

    def _read(
        self, keys: Sequence[_Blobs | None], count: int, ends: float | None
    ) -> tuple[bytes | None, list[_Blobs | None]]:
        """Read the pointer record and all rows at once; a null key has no row."""
        wanted = [self._pointer_key]
        for encoded in keys:
            wanted += [key for key in encoded or () if key is not None]
        found = self._store.read(wanted, deadline=_left(ends))
        blobs: list[_Blobs | None] = []
        at = 1
        for encoded in keys:
            if encoded is None:
                blobs.append(None)
            elif None not in encoded:
                blobs.append(found[at : at + count])
                at += count
            else:
                rest = iter(found[at:])
                blobs.append([None if key is None else next(rest) for key in encoded])
                at += count - encoded.count(None)
        return found[0], blobs

    def _answer(
        self,
        snapshot: Snapshot,
        bound: BoundPlan,
        request: EntityColumns,
        keys: Sequence[_Blobs | None],
        blobs: Sequence[_Blobs | None],
        *,
        repair: bool,
    ) -> OnlineResponse:
        now_us = to_micros(self._clock())
        plan = bound.plan
        absent: _Blobs = [None] * request.count
        rows = [
            ViewRows(read.values.decode(absent if found is None else found), read.rules, now_us)
            for read, found in zip(bound.reads, blobs, strict=True)
        ]
        frame = Frame(plan, rows, request, self._check_code)
        predictions = [
            self._predictions(snapshot, prediction, frame, keys[prediction.read] or absent, now_us, repair)
            for prediction in plan.predictions
        ]
        columns: list[OutputColumn] = []
        for output in plan.outputs:
            match output:
                case StoredOutput():
                    columns.append(rows[output.read].column(output.feature))
                case OnDemandOutput():
                    columns.append(frame.column(output.call, output.feature))
                case PredictionOutput():
                    columns.append(predictions[output.prediction].column(output.feature))
        return OnlineResponse(
            keys={name: request.columns[name] for name in plan.key_columns},
            outputs=plan.outputs,
            columns=columns,
            names=plan.names,
            predictions={judged.view.name: judged for judged in predictions},
        )

    def _predictions(
        self, snapshot: Snapshot, plan: PredictionPlan, frame: Frame, keys: _Blobs, now_us: int, repair: bool
    ) -> PredictionRows:
        judged = PredictionRows(
            plan,
            frame.rows,
            now_us=now_us,
            scored_until_us=snapshot.scored_until(plan),
            awaits_scoring=snapshot.awaits_scoring(plan, now_us),
        )
        infer = functools.partial(self._inference.infer, plan, judged, frame, keys=keys) if repair else None
        settle(plan, judged, frame.rows, keys, infer)
        return judged


def _encode(bound: BoundPlan, request: EntityColumns) -> list[_Blobs | None]:
    return [
        None
        if read.keys is None
        else read.keys.encode({name: request.columns[column] for name, column in read.columns})
        for read in bound.reads
    ]


def _nothing(bound: BoundPlan) -> tuple[list[_Blobs | None], list[_Blobs | None]]:
    return [None] * len(bound.reads), [None] * len(bound.reads)


def _seconds(deadline: timedelta | float | None) -> float | None:
    return deadline.total_seconds() if isinstance(deadline, timedelta) else deadline


def _ends(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _left(ends: float | None) -> float | None:
    if ends is None:
        return None
    left = ends - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the lookup's deadline passed before its rows were read; give it more time")
    return left
