"""A lookup without I/O: which bytes to read, and the answer from them. Sync and asyncio clients drive it alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias, cast

from featurestore.codec.keys import pointer_key
from featurestore.codec.pointer import Pointer
from featurestore.errors import FeatureNotFound
from featurestore.intervals import to_micros
from featurestore.retrieval.plan import PredictionPlan
from featurestore.retrieval.refs import Features
from featurestore.serving.code import CodeSource
from featurestore.serving.entity_rows import EntityColumns, EntityRows, read_entity_rows, with_optional
from featurestore.serving.frame import Frame
from featurestore.serving.inference import Inference
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.policies import settle
from featurestore.serving.predictions import PredictionRows
from featurestore.serving.read_keys import Blobs, ReadKeys, encode_keys
from featurestore.serving.response import OnlineResponse
from featurestore.serving.row_cache import CacheOptions, RowCache
from featurestore.serving.rows import ViewRows
from featurestore.serving.snapshot import BoundPlan, Snapshot

__all__ = ["Block", "Lookup", "LookupCore", "LookupObserver", "LookupRequest", "Read", "Step"]


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

    Without ``repair`` no prediction is made: stale ones are served as such. With ``anew`` every one that is not fresh
    is made, whatever its view's policies and whatever scoring is still to come, and none is logged as served. ``ends``
    is the monotonic time by which the call is to be over. ``max_cached_age`` bounds how long ago this process may have
    read what it answers with; None is the core's default.
    """

    features: Features
    entity_rows: EntityRows
    full_feature_names: bool = False
    repair: bool = True
    anew: bool = False
    ends: float | None = None
    max_cached_age: timedelta | None = None


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
        cache: CacheOptions | None = None,
    ) -> None:
        cache = cache or CacheOptions()
        self._observer = observer
        self._cache = RowCache(max_rows=cache.max_rows)
        self._cached_age = cache.max_age
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
        columns = _columns(request, bound)
        keys = encode_keys(bound, columns)
        reading = yield from self._read(keys, snapshot.record, request)
        if reading.record != snapshot.record:
            snapshot = yield from self._take_snapshot(reading.record)
            before, bound = bound, snapshot.bound(request.features, request.full_feature_names)
            if (bound.storage, bound.needed, bound.optional) != (before.storage, before.needed, before.optional):
                columns = _columns(request, bound)
                keys = encode_keys(bound, columns)
                reading = yield from self._read(keys, snapshot.record, request)
        frame, predictions = self._judge(bound, columns, reading.blobs, request)
        if reading.is_cached and not all(judged.is_fresh for judged in predictions):
            return (yield from self._lookup(replace(request, max_cached_age=timedelta(0))))
        for plan, judged in zip(bound.plan.predictions, predictions, strict=True):
            if not judged.is_fresh:
                yield from self._settle(bound, plan, judged, frame, keys.lists[plan.read], request)
            if self._inference.follows(judged) and not request.anew:
                yield from self._follow(bound, plan, judged, frame, keys.lists[plan.read], columns, request)
        for number in bound.calls:
            if frame.needs_code(number):
                yield from self._have_code(bound)
            frame.compute(number)
        return OnlineResponse(bound, frame, predictions, columns)

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

    def _read(self, keys: ReadKeys, record: bytes | None, request: LookupRequest) -> Generator[Step, Any, _Reading]:
        """Read the pointer record and all rows at once; a null key has no row, and no key no read."""
        wanted: list[bytes] = []
        for encoded in keys.lists:
            wanted += [key for key in encoded if key is not None] if keys.has_nulls else cast("list[bytes]", encoded)
        is_cached = False
        if not keys.count:
            found: Sequence[bytes | None] = [record]
        elif self._cached_age or request.max_cached_age:
            found, is_cached = yield from self._read_cached(wanted, record, request)
        else:
            found = yield Read([self._pointer_key, *wanted])
        blobs: list[Blobs] = []
        if keys.has_nulls:
            rest = iter(found[1:])
            blobs += [[None if key is None else next(rest) for key in encoded] for encoded in keys.lists]
        else:
            at = 1
            for encoded in keys.lists:
                blobs.append(found[at : at + len(encoded)])
                at += len(encoded)
        return _Reading(found[0], blobs, is_cached)

    def _read_cached(
        self, wanted: list[bytes], record: bytes | None, request: LookupRequest
    ) -> Generator[Step, Any, tuple[Sequence[bytes | None], bool]]:
        """Read what was not read a moment ago; never rows of two pointer records together."""
        cache, now_us = self._cache, to_micros(self._clock())
        max_age = self._cached_age if request.max_cached_age is None else request.max_cached_age
        held = cache.find(record, wanted, now_us=now_us, max_age=max_age) if max_age else {}
        missing = [key for key in dict.fromkeys(wanted) if key not in held]
        if not missing and cache.is_confirmed(now_us=now_us, max_age=max_age):
            return [record, *(held[key] for key in wanted)], True
        found = yield Read([self._pointer_key, *missing])
        cache.put(found[0], missing, found[1:], now_us=now_us)
        if held and found[0] != record:
            found = yield Read([self._pointer_key, *wanted])
            cache.put(found[0], wanted, found[1:], now_us=now_us)
            return found, False
        values = {**held, **dict(zip(missing, found[1:], strict=True))}
        return [found[0], *(values[key] for key in wanted)], bool(held)

    def _judge(
        self, bound: BoundPlan, columns: EntityColumns, blobs: Sequence[Blobs], request: LookupRequest
    ) -> tuple[Frame, list[PredictionRows]]:
        now_us = to_micros(self._clock())
        rows = [
            ViewRows(read.values.decode(found), read.rules, now_us, read.reader)
            for read, found in zip(bound.reads, blobs, strict=True)
        ]
        bounds = bound.predictions
        if request.anew:
            bounds = tuple(replace(prediction, graced_until_us=None) for prediction in bounds)
        predictions = [PredictionRows(prediction, rows, now_us=now_us) for prediction in bounds]
        return Frame(bound.plan, rows, columns, functools.partial(self._code.resolve, archive=bound.code)), predictions

    def _have_code(self, bound: BoundPlan) -> Generator[Step, Any, None]:
        """See that the user functions that run are those of the manifest that the request sees."""
        if bound.code != self._code_digest:
            wanted = self._code.wanted(bound.code)
            self._code.take(bound.code, (yield Read([*wanted])) if wanted else ())
            self._code_digest = bound.code

    def _settle(
        self,
        bound: BoundPlan,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        keys: Blobs,
        request: LookupRequest,
    ) -> Generator[Step, Any, None]:
        """Apply the view's policies to rows that are stale or missing."""
        if not request.anew and (plan.view.on_stale != "infer" or not request.repair):
            settle(plan, judged, frame.rows, keys, None)
            return
        yield from self._have_code(bound)
        infer = functools.partial(self._inference.infer, plan, judged, frame, keys=keys, ends=request.ends)
        yield Block(functools.partial(settle, plan, judged, frame.rows, keys, infer, anew=request.anew))
        self._cache.drop([key for key in keys if key is not None])

    def _follow(
        self,
        bound: BoundPlan,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        keys: Blobs,
        columns: EntityColumns,
        request: LookupRequest,
    ) -> Generator[Step, Any, None]:
        """Set off what goes on beside the answer; a log that is full is written first, where that may wait."""
        if plan.view.asks_models:
            yield from self._have_code(bound)
        own = {name: columns.columns[column] for name, column in bound.reads[plan.read].columns}
        follow = functools.partial(
            self._inference.follow, plan, judged, frame, keys=keys, columns=own, repair=request.repair
        )
        if self._inference.is_log_full:
            yield Block(follow)
        else:
            follow()


def _columns(request: LookupRequest, bound: BoundPlan) -> EntityColumns:
    needed: Sequence[str] = bound.needed
    if bound.optional:
        needed = with_optional(request.entity_rows, needed, bound.optional)
    return read_entity_rows(request.entity_rows, needed)


@dataclass(slots=True)
class _Reading:
    """The pointer record and the values of each read; ``is_cached`` says that some were read earlier."""

    record: bytes | None
    blobs: list[Blobs]
    is_cached: bool
