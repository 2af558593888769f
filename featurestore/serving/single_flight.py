"""Single-flight inference: of all who miss a prediction, in whatever thread or process, one asks the model."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featurestore.codec.restated import plain_form
from featurestore.codec.stamp import STAMP_BYTES
from featurestore.codec.value import RowCodec
from featurestore.errors import DeadlineExceeded, InferenceFailed, OnlineStoreUnavailable
from featurestore.ir.columns import INPUTS_DIGEST, stored_features
from featurestore.ir.nodes import ModelNode, PredictionViewNode
from featurestore.serving.answers import Answers
from featurestore.serving.breaker import CircuitBreaker
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.landings import Landings
from featurestore.serving.locks import LockKeeper
from featurestore.serving.model_batch import ModelBatch, Predicted, Predictor, encode_predicted
from featurestore.serving.refusals import cooling, left_alone, no_number, overdue, too_many
from featurestore.serving.workers import Workers
from featurestore.stores.base import OnlineStore
from featurestore.stores.row_locks import Claims, Held, RowClaim, RowResult

__all__ = ["SingleFlight"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.004
_LONGEST_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flight:
    """One model call under way; ``token`` is None where the store gave no locks: then nothing is written back."""

    batch: ModelBatch
    token: bytes | None
    at_us: int
    codec: RowCodec
    breaker: CircuitBreaker


class SingleFlight:
    """Asks models for entities whose locks it gets, and waits for the answers of those that others hold."""

    def __init__(self, store: OnlineStore, predictor: Predictor, options: InferenceOptions) -> None:
        self._store = store
        self._locks = store.row_locks()
        self._predictor = predictor
        self._options = options
        self._workers = Workers("inference", threads=options.threads, backlog=options.backlog)
        self._keeper = LockKeeper(self._locks, seconds=options.lock_seconds, longest=options.longest_call)
        self._landings = Landings()
        self._codecs: dict[tuple[str, int], RowCodec] = {}
        self._breakers: dict[ModelNode, CircuitBreaker] = {}

    def predict(self, batch: ModelBatch, *, ends: float | None, now_us: int) -> Answers:
        """Get a prediction for each entity, made once whoever asks, before the monotonic time ``ends``.

        A model call that outlasts it goes on, and its result is written back. ``now_us`` stands for the store's time
        where that cannot be had.
        """
        answers = Answers(batch.view, len(batch.keys))
        seen, replaced = list(batch.seen), list(batch.seen)
        waiting = list(range(len(batch.keys)))
        pause = _FIRST_PAUSE
        if self.breaker(batch.view.model).refuses():
            answers.fail(left_alone(batch.view, self.breaker(batch.view.model).failures, self._options))
            return answers
        with self._landings.watch() as watcher:
            while waiting:
                token = _new_token()
                try:
                    claims = self._claim(batch, waiting, seen, token, ends)
                except DeadlineExceeded:
                    break
                except OnlineStoreUnavailable as error:
                    logger.warning("predictions of view %s are made without locks: %s", batch.view.name, error)
                    self._fly(batch.take(waiting), waiting, None, now_us, ends, answers)
                    return answers
                taken, held, changed = self._sort(batch, waiting, claims, seen, replaced, answers)
                if held:
                    watcher.look_for([batch.keys[place] for place in held])
                if taken:
                    own = replace(batch.take(taken), seen=tuple(replaced[place] for place in taken))
                    self._fly(own, taken, token, claims.time_us, ends, answers)
                waiting = [*held, *changed]
                if waiting and not changed and not watcher.wait(pause, ends):
                    break
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        if waiting:
            answers.fail(overdue(batch, len(waiting)))
        return answers

    def refresh(self, batch: ModelBatch) -> int:
        """Ask the model, in this thread, for entities that nobody asks it for and whose rows are as they were read.

        Gives how many; InferenceFailed and errors of the store are raised.
        """
        breaker = self.breaker(batch.view.model)
        if breaker.refuses():
            return 0
        token = _new_token()
        claims = self._claim(batch, range(len(batch.keys)), batch.seen, token, None)
        taken = [place for place, answer in enumerate(claims.answers) if answer is Held.TAKEN]
        if taken:
            own = batch.take(taken)
            codec = self._codec(own.view)
            flight = _Flight(batch=own, token=token, at_us=claims.time_us, codec=codec, breaker=breaker)
            if not breaker.enter():
                self._land(flight, [None] * len(taken), failed=None)
                return 0
            self._keeper.keep(token, own.keys)
            self._run(flight)
        return len(taken)

    def breaker(self, model: ModelNode) -> CircuitBreaker:
        found = self._breakers.get(model)
        if found is None:
            options = self._options
            found = CircuitBreaker(failures=options.breaker_failures, seconds=options.breaker_seconds)
        return self._breakers.setdefault(model, found)

    def close(self, seconds: float = 1.0) -> None:
        """Let the models that run end, for so long; give up the locks of those that do not."""
        self._workers.wait_idle(seconds)
        self._keeper.close()

    def _claim(
        self, batch: ModelBatch, places: Sequence[int], seen: Sequence[bytes], token: bytes, ends: float | None
    ) -> Claims:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("the deadline passed")
        rows = [RowClaim(key=batch.keys[place], seen=seen[place]) for place in places]
        return self._locks.claim(rows, token, seconds=self._options.lock_seconds, deadline=left)

    def _sort(
        self,
        batch: ModelBatch,
        waiting: Sequence[int],
        claims: Claims,
        seen: list[bytes],
        replaced: list[bytes],
        answers: Answers,
    ) -> tuple[list[int], list[int], list[int]]:
        """Part the entities into taken, held by others, and changed but not by an answer to this request.

        ``seen`` gets the stamps that stand; ``replaced`` keeps those of the rows that the request read, as they stand.
        """
        taken: list[int] = []
        held: list[int] = []
        written: list[int] = []
        values: list[bytes | None] = []
        for place, answer in zip(waiting, claims.answers, strict=True):
            match answer:
                case Held.TAKEN:
                    taken.append(place)
                case Held.BY_OTHERS:
                    held.append(place)
                case Held.COOLING:
                    answers.fail(cooling(batch.view, self._options))
                case _:
                    if answer and plain_form(answer)[:STAMP_BYTES] == seen[place]:
                        replaced[place] = answer[:STAMP_BYTES]
                    seen[place] = answer[:STAMP_BYTES]
                    written.append(place)
                    values.append(answer or None)
        used = self._use(batch, np.array(written, dtype=np.intp), values, answers) if written else set()
        return taken, held, [place for place in written if place not in used]

    def _use(
        self, batch: ModelBatch, places: np.ndarray[Any, Any], values: list[bytes | None], answers: Answers
    ) -> set[int]:
        """Take what was written since the request's read, where it was made from the inputs that the request read."""
        decoded = self._codec(batch.view).decode(values)
        good = decoded.present
        if batch.digest is not None:
            good = good & (decoded.columns[INPUTS_DIGEST].values == batch.digest[places])
        columns = {f.name: decoded.columns[f.name] for f in batch.view.features}
        answers.put(
            places[good],
            {name: (column.values[good], column.valid[good]) for name, column in columns.items()},
            decoded.event_us[good],
            decoded.created_us[good],
        )
        return set(places[good].tolist())

    def _fly(
        self,
        batch: ModelBatch,
        places: Sequence[int],
        token: bytes | None,
        at_us: int,
        ends: float | None,
        answers: Answers,
    ) -> None:
        """Call the model for these entities, at ``places`` of the answers, and wait for it until ``ends``."""
        future = self._submit(batch, token, at_us)
        if future is None:
            answers.fail(too_many(batch.view, self._options))
            return
        try:
            predicted = future.result(None if ends is None else max(ends - time.monotonic(), 0))
        except NotDone:
            answers.fail(overdue(batch, len(places)))
            return
        except InferenceFailed as error:
            answers.fail(error)
            return
        good = ~predicted.failed
        if not good.all():
            answers.fail(no_number(batch, predicted))
        answers.put(
            np.asarray(places, dtype=np.intp)[good],
            {name: (v[good], None if ok is None else ok[good]) for name, (v, ok) in predicted.columns.items()},
            predicted.event_us[good],
            predicted.predicted_us,
        )

    def _submit(self, batch: ModelBatch, token: bytes | None, at_us: int) -> Future[Predicted] | None:
        breaker = self.breaker(batch.view.model)
        flight = _Flight(batch=batch, token=token, at_us=at_us, codec=self._codec(batch.view), breaker=breaker)
        future = self._workers.submit(lambda: self._run(flight)) if breaker.enter() else None
        if token is not None:
            if future is None:
                self._land(flight, [None] * len(batch.keys), failed=None)
            else:
                self._keeper.keep(token, batch.keys)
        return future

    def _run(self, flight: _Flight) -> Predicted:
        """Run in a thread of its own: the model, then write-back and unlock, whatever the model did."""
        batch = flight.batch
        values: list[bytes | None] = [None] * len(batch.keys)
        failed = np.ones(len(batch.keys), dtype=bool)
        try:
            predicted = batch.predict(self._predictor, batch.view.model, flight.at_us)
            values, failed = encode_predicted(batch, predicted, flight.codec), predicted.failed
            flight.breaker.succeeded()
            return predicted
        except InferenceFailed:
            flight.breaker.failed()
            raise
        finally:
            self._land(flight, values, failed)

    def _land(self, flight: _Flight, values: Sequence[bytes | None], failed: np.ndarray[Any, Any] | None) -> None:
        if flight.token is None:
            return
        keys = flight.batch.keys
        marks = [False] * len(keys) if failed is None else failed.tolist()
        results = [RowResult(key=k, value=v, failed=f) for k, v, f in zip(keys, values, marks, strict=True)]
        made = [key for key, value, seen in zip(keys, values, flight.batch.seen, strict=True) if value and not seen]
        try:
            if made:
                self._store.add_members(flight.batch.index, made)
            self._locks.settle(results, flight.token, cooldown=self._options.cooldown_seconds)
        except (OnlineStoreUnavailable, DeadlineExceeded) as error:
            logger.warning("predictions of view %s were made but not written back: %s", flight.batch.view.name, error)
        finally:
            self._keeper.drop(flight.token)
            self._landings.post(keys)

    def _codec(self, view: PredictionViewNode) -> RowCodec:
        identity = (view.name, view.version)
        if identity not in self._codecs:
            self._codecs[identity] = RowCodec(stored_features(view))
        return self._codecs[identity]


def _new_token() -> bytes:
    return b"+" + secrets.token_bytes(12)
