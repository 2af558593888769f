"""A lookup without I/O: which bytes to read, and the answer from them. Sync and asyncio clients drive it alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias, cast

from featurestore.codec.keys import pointer_key
from featurestore.codec.pointer import Pointer
from featurestore.errors import FeatureNotFound
from featurestore.intervals import to_micros
from featurestore.retrieval.plan import PredictionPlan
from featurestore.retrieval.planner import Features
from featurestore.serving.code import CodeSource
from featurestore.serving.entity_rows import EntityColumns, EntityRows, read_entity_rows
from featurestore.serving.frame import Frame
from featurestore.serving.inference import Inference
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.policies import settle
from featurestore.serving.predictions import PredictionRows
from featurestore.serving.response import OnlineResponse
from featurestore.serving.rows import ViewRows
from featurestore.serving.snapshot import BoundPlan, Snapshot

__all__ = ["Block", "Lookup", "LookupCore", "LookupObserver", "LookupRequest", "Read", "Step"]

_Blobs: TypeAlias = Sequence[bytes | None]


@dataclass(slots=True)
class Read:
    """Read these keys in one round trip and send back their stored bytes, in order."""

    keys: list[bytes]


@dataclass(slots=True)
class Block:
    """Call this where waiting holds up nobody else (a model may run, its result is written back); send back None."""

    call: Callable[[], None]


Step: TypeAlias = Read | Block
Lookup: TypeAlias = Generator[Step, Any, OnlineResponse]
"""A lookup under way: it yields the step to take, is sent the step's result, and returns the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupRequest:
    """What the caller asked for.

    Without ``repair`` no prediction is made: stale ones are served as such. ``ends`` is the monotonic time by which
    the call is to be over.
    """

    features: Features
    entity_rows: EntityRows
    full_feature_names: bool = False
    repair: bool = True
    ends: float | None = None


class LookupObserver(Protocol):
    """Counts and times lookups (``serving.metrics``)."""

    def observe(self, lookup: Lookup) -> Lookup:
        """Give the same steps and the same answer, looked at on their way."""
        ...


class LookupCore:
    """What all lookups of one project share: its state as last seen, and the plans made on it. Threads may share it."""

    def __init__(
        self,
        project: str,
        *,
        manifests: ManifestSource,
        inference: Inference,
        clock: Callable[[], datetime],
        code: CodeSource,
        observer: LookupObserver | None = None,
    ) -> None:
        self._observer = observer
        self._pointer_key = pointer_key(project)
        self._manifests = manifests
        self._inference = inference
        self._clock = clock
        self._code = code
        self._code_digest: str | None = None
        self._snapshot: Snapshot | None = None

    def lookup(self, request: LookupRequest) -> Lookup:
        """Begin a lookup. A caller that could not take a step throws the error into it."""
        lookup = self._lookup(request)
        return lookup if self._observer is None else self._observer.observe(lookup)

    def _lookup(self, request: LookupRequest) -> Lookup:
        """Go through one lookup: a read of the pointer record and all rows, once more if a version was switched."""
        snapshot, bound = yield from self._plan(request)
        columns = read_entity_rows(request.entity_rows, bound.needed)
        if not columns.count:
            nothing: list[_Blobs] = [()] * len(bound.reads)
            return (yield from self._answer(bound, columns, nothing, nothing, request))
        keys = _encode(bound, columns)
        record, blobs = yield from self._read(keys)
        if record != snapshot.record:
            snapshot = yield from self._take_snapshot(record)
            before, bound = bound, snapshot.bound(request.features, request.full_feature_names)
            if bound.storage != before.storage or bound.needed != before.needed:
                columns = read_entity_rows(request.entity_rows, bound.needed)
                keys = _encode(bound, columns)
                _, blobs = yield from self._read(keys)
        return (yield from self._answer(bound, columns, keys.lists, blobs, request))

    def _plan(self, request: LookupRequest) -> Generator[Step, Any, tuple[Snapshot, BoundPlan]]:
        """Plan on the state last seen; a name that it lacks may have been applied since."""
        seen = self._snapshot
        if seen is not None:
            try:
                return seen, seen.bound(request.features, request.full_feature_names)
            except FeatureNotFound:
                snapshot = yield from self._look()
                if snapshot.record == seen.record:
                    raise
        else:
            snapshot = yield from self._look()
        return snapshot, snapshot.bound(request.features, request.full_feature_names)

    def _look(self) -> Generator[Step, Any, Snapshot]:
        """Read the pointer record, with the definitions if this process has none yet."""
        wanted = self._manifests.wanted(0)
        record, *definitions = yield Read([self._pointer_key, *wanted])
        if wanted:
            self._manifests.take(definitions)
        return (yield from self._take_snapshot(record))

    def _take_snapshot(self, record: bytes | None) -> Generator[Step, Any, Snapshot]:
        """Make the record the state last seen; its definitions are read if they are newer than what is known."""
        pointer = None if record is None else Pointer.from_bytes(record)
        wanted = self._manifests.wanted(pointer.generation if pointer else 0)
        if wanted:
            self._manifests.take((yield Read([*wanted])))
        self._snapshot = snapshot = Snapshot(self._manifests, record)
        return snapshot

    def _read(self, keys: _Keys) -> Generator[Step, Any, tuple[bytes | None, list[_Blobs]]]:
        """Read the pointer record and all rows at once; a null key has no row."""
        wanted = [self._pointer_key]
        for encoded in keys.lists:
            wanted += [key for key in encoded if key is not None] if keys.has_nulls else cast("list[bytes]", encoded)
        found = yield Read(wanted)
        if keys.has_nulls:
            rest = iter(found[1:])
            return found[0], [[None if key is None else next(rest) for key in encoded] for encoded in keys.lists]
        blobs: list[_Blobs] = []
        at = 1
        for encoded in keys.lists:
            blobs.append(found[at : at + len(encoded)])
            at += len(encoded)
        return found[0], blobs

    def _answer(
        self,
        bound: BoundPlan,
        columns: EntityColumns,
        keys: Sequence[_Blobs],
        blobs: Sequence[_Blobs],
        request: LookupRequest,
    ) -> Lookup:
        now_us = to_micros(self._clock())
        rows = [
            ViewRows(read.values.decode(found), read.rules, now_us, read.reader)
            for read, found in zip(bound.reads, blobs, strict=True)
        ]
        frame = Frame(bound.plan, rows, columns, self._code.resolve)
        predictions: list[PredictionRows] = []
        for prediction in bound.predictions:
            judged = PredictionRows(prediction, rows, now_us=now_us)
            predictions.append(judged)
            if not judged.is_fresh:
                plan = prediction.plan
                call = self._settling(plan, judged, frame, keys[plan.read], request)
                if plan.view.on_stale == "infer" and request.repair:
                    yield from self._have_code(bound)
                    yield Block(call)
                else:
                    call()
        if bound.calls:
            yield from self._have_code(bound)
            for number in bound.calls:
                frame.call(number)
        return OnlineResponse(bound, frame, predictions, columns)

    def _have_code(self, bound: BoundPlan) -> Generator[Step, Any, None]:
        """See that the user functions that run are those of the manifest that the request sees."""
        if bound.code != self._code_digest:
            wanted = self._code.wanted(bound.code)
            self._code.take(bound.code, (yield Read([*wanted])) if wanted else ())
            self._code_digest = bound.code

    def _settling(
        self, plan: PredictionPlan, judged: PredictionRows, frame: Frame, keys: _Blobs, request: LookupRequest
    ) -> Callable[[], None]:
        """Make the call that applies the view's policies to rows that are stale or missing."""
        infer = None
        if request.repair:
            infer = functools.partial(self._inference.infer, plan, judged, frame, keys=keys, ends=request.ends)
        return functools.partial(settle, plan, judged, frame.rows, keys, infer)


@dataclass(slots=True)
class _Keys:
    """The keys of each read; of one that was never published all are None."""

    lists: list[_Blobs]
    has_nulls: bool


def _encode(bound: BoundPlan, columns: EntityColumns) -> _Keys:
    lists: list[_Blobs] = [()] * len(bound.reads)
    has_nulls = False
    done = 0
    for keyed in bound.keyed:
        group = keyed.group.encode([columns.columns[name] for name in keyed.columns])
        has_nulls |= group.has_nulls
        for read, keys in zip(keyed.reads, group.lists, strict=True):
            lists[read] = keys
            done += 1
    if done < len(lists):
        has_nulls = True
        lists = [keys or [None] * columns.count for keys in lists]
    return _Keys(lists, has_nulls)
