"""Live inference for stale and missing predictions: one batched model call, then write-back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featurestore.ondemand.arrays import take_column
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.frame import Frame
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.model_batch import Predictor, batch_of
from featurestore.serving.predictions import LiveRows, PredictionRows
from featurestore.serving.single_flight import SingleFlight
from featurestore.stores.base import OnlineStore

__all__ = ["Inference"]


class Inference:
    """Runs a view's model on the features just read, and writes what it gives to the view's own keys."""

    def __init__(self, store: OnlineStore, predictor: Predictor, options: InferenceOptions | None = None) -> None:
        self._flights = SingleFlight(store, predictor, options or InferenceOptions())

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

    def close(self) -> None:
        """Wait a moment for models that run, and give up their locks."""
        self._flights.close()
