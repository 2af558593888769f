"""Live inference for stale and missing predictions: one batched model call, then write-back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featurestore.ondemand.arrays import take_column
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.followup import Followup
from featurestore.serving.frame import Frame
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.model_batch import Predictor, batch_of
from featurestore.serving.predictions import LiveRows, PredictionRows
from featurestore.serving.served_log import ServedLog
from featurestore.serving.single_flight import SingleFlight
from featurestore.stores.base import OnlineStore

__all__ = ["Inference", "Predictor"]


class Inference:
    """Runs a view's model on the features just read, and writes what it gives to the view's own keys.

    ``log`` is told what was served, and what shadow models gave.
    """

    def __init__(
        self,
        store: OnlineStore,
        predictor: Predictor,
        options: InferenceOptions | None = None,
        *,
        log: ServedLog | None = None,
    ) -> None:
        self._flights = SingleFlight(store, predictor, options or InferenceOptions())
        self._followup = Followup(self._flights, predictor, log=log)

    def infer(
        self,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        rows: np.ndarray[Any, Any],
        *,
        keys: Sequence[bytes | None],
        ends: float | None = None,
    ) -> LiveRows:
        """Predict for ``rows`` of the request, each key once, in one model call, until the monotonic time ``ends``.

        An entity that another thread or process is predicting is waited for. The write-back is a compare-and-set with
        the stamp (greatest input event time, predicted_at in the store's time): a newer value stays, and a replay does
        nothing. Where it fails the prediction is given out all the same.
        """
        batch = batch_of(plan, judged, frame, rows, keys)
        answers = self._flights.predict(batch, ends=ends, now_us=judged.now_us)
        position = {key: number for number, key in enumerate(batch.keys)}
        places = np.fromiter((position[keys[row] or b""] for row in rows.tolist()), dtype=np.intp, count=len(rows))
        return LiveRows(
            rows=rows,
            columns={name: take_column(column, places) for name, column in answers.columns.items()},
            event_us=answers.event_us[places],
            predicted_us=answers.predicted_us[places],
            failed=~answers.known[places],
            error=answers.error,
        )

    def follows(self, judged: PredictionRows) -> bool:
        """Say whether something is to be set off beside an answer; cheap, as each lookup asks."""
        return self._followup.wants(judged)

    @property
    def is_log_full(self) -> bool:
        """Whether the log is to be written before it takes more rows, so that ``follow`` takes a while."""
        return self._followup.is_log_full

    def follow(
        self,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        *,
        keys: Sequence[bytes | None],
        columns: Mapping[str, Any],
        repair: bool,
    ) -> None:
        """Set it off: predictions near their age are made anew, shadow models asked, the log told."""
        self._followup.answered(plan, judged, frame, keys, columns, repair=repair)

    def close(self) -> None:
        """Wait a moment for models that run, give up their locks, and write the log."""
        try:
            self._followup.close()
        finally:
            self._flights.close()
