"""What a lookup sets off beside its answer: predictions made ahead of their age, shadow models, the served log."""

from __future__ import annotations

import functools
import logging
import random
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.errors import DeadlineExceeded, FeatureStoreError, InferenceFailed, OnlineStoreUnavailable
from featurestore.ir.nodes import ModelNode
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.entity_rows import to_list
from featurestore.serving.frame import Frame
from featurestore.serving.model_batch import ModelBatch, Predicted, Predictor, batch_of
from featurestore.serving.policies import inferable
from featurestore.serving.predictions import PredictionRows
from featurestore.serving.served_log import ServedLog
from featurestore.serving.single_flight import SingleFlight
from featurestore.serving.workers import Workers

__all__ = ["Followup"]

if TYPE_CHECKING:
    from featurestore.serving.served_rows import ServedCall

logger = logging.getLogger(__name__)

_THREADS = 2
_BACKLOG = 64
"""Work beyond this is left undone: a prediction that is not made ahead is made when it is asked for, and shadow models
see a sample anyway."""

_Keys = Sequence["bytes | None"]


class Followup:
    """Called with each answer; takes the caller's time for notes only, the work is done by a few threads."""

    def __init__(
        self,
        flights: SingleFlight,
        predictor: Predictor,
        *,
        log: ServedLog | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._flights = flights
        self._predictor = predictor
        self._log = log
        self._draw = draw
        self._refreshing = Workers("refresh", threads=_THREADS, backlog=_BACKLOG)
        self._shadows = Workers("shadow", threads=_THREADS, backlog=_BACKLOG)
        self._lock = threading.Lock()
        self._under_way: set[bytes] = set()

    def wants(self, judged: PredictionRows) -> bool:
        """Say whether there is anything to set off; cheap, as each lookup asks."""
        return self._log is not None or judged.view.refresh_ahead is not None

    @property
    def is_log_full(self) -> bool:
        return self._log is not None and self._log.is_full

    def answered(
        self,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        keys: _Keys,
        columns: Mapping[str, Any],
        *,
        repair: bool,
    ) -> None:
        """Set off what the view of an answer wants; ``columns`` has its join keys and request fields."""
        view = plan.view
        if repair and view.refresh_ahead is not None:
            ageing = [row for row in judged.ageing(view.refresh_ahead).tolist() if keys[row] is not None]
            self._refresh(plan, judged, frame, np.array(ageing, dtype=np.intp), keys)
        if self._log is not None:
            from featurestore.serving.served_rows import ServedCall, served_rows

            own = {name: list(to_list(values)) for name, values in columns.items()}
            call = ServedCall(view=view, request=uuid.uuid4().hex, at_us=judged.now_us, columns=own)
            self._log.add(served_rows(call, judged))
            if view.shadow and self._draw() < view.shadow_fraction:
                rows = inferable(plan, frame.rows, keys)
                for model in view.shadow if len(rows) else ():
                    ask = functools.partial(self._shadow, model, call, plan, judged, frame, rows, keys)
                    self._shadows.submit(ask)

    def close(self, seconds: float = 5.0) -> None:
        """Let what runs end, and write the log."""
        self._refreshing.wait_idle(seconds)
        self._shadows.wait_idle(seconds)
        if self._log is not None:
            self._log.close()

    def _refresh(
        self, plan: PredictionPlan, judged: PredictionRows, frame: Frame, rows: np.ndarray[Any, Any], keys: _Keys
    ) -> None:
        with self._lock:
            rows = np.array([row for row in rows.tolist() if keys[row] not in self._under_way], dtype=np.intp)
            chosen = {key for row in rows.tolist() if (key := keys[row]) is not None}
            self._under_way |= chosen
        if not chosen:
            return

        def run() -> None:
            try:
                self._flights.refresh(batch_of(plan, judged, frame, rows, keys))
            except (InferenceFailed, OnlineStoreUnavailable, DeadlineExceeded) as error:
                logger.warning("%d predictions were not made ahead: %s", len(chosen), error)
            finally:
                with self._lock:
                    self._under_way -= chosen

        if self._refreshing.submit(run) is None:
            with self._lock:
                self._under_way -= chosen

    def _shadow(
        self,
        model: ModelNode,
        call: ServedCall,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        rows: np.ndarray[Any, Any],
        keys: _Keys,
    ) -> None:
        batch: ModelBatch | None = None
        predicted: Predicted | None = None
        try:
            batch = batch_of(plan, judged, frame, rows, keys)
            predicted = batch.predict(self._predictor, model, call.at_us)
        except FeatureStoreError as error:
            logger.warning("shadow %s of view %s: %s", model.title, plan.view.name, error)
        if batch is not None and self._log is not None:
            from featurestore.serving.served_rows import shadow_rows

            self._log.add(shadow_rows(call, model, batch, predicted))
