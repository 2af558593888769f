"""Live inference for stale and missing predictions: one batched model call, then write-back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from featurestore.codec.value import RowCodec
from featurestore.errors import DeadlineExceeded, InferenceFailed, OnDemandFailed, OnlineStoreUnavailable
from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP, stored_features
from featurestore.ir.nodes import ModelNode, PredictionViewNode
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input, python_values, take_column
from featurestore.ondemand.functions import check_outputs
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.frame import Frame
from featurestore.serving.predictions import LiveRows, PredictionRows
from featurestore.stores.base import OnlineStore

__all__ = ["Inference", "Predictor"]

logger = logging.getLogger(__name__)


class Predictor(Protocol):
    """Where models run; a failure is InferenceFailed, whatever went wrong."""

    def predict(self, model: ModelNode, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        """Give a mapping of output name to array."""
        ...


class Inference:
    """Runs a view's model on the features just read, and writes what it gives to the view's own keys."""

    def __init__(self, store: OnlineStore, predictor: Predictor) -> None:
        self._store = store
        self._predictor = predictor
        self._codecs: dict[tuple[str, int], RowCodec] = {}

    def infer(
        self,
        plan: PredictionPlan,
        judged: PredictionRows,
        frame: Frame,
        rows: np.ndarray[Any, Any],
        keys: Sequence[bytes | None],
    ) -> LiveRows:
        """Predict for ``rows`` of the request, each key once, in one model call; InferenceFailed says why not.

        The write-back is a compare-and-set with the stamp (greatest input event time, predicted_at in the store's
        time): a newer value stays, and a replay does nothing. Where it fails the prediction is given out all the same.
        """
        first: dict[bytes | None, int] = {}
        for place in rows.tolist():
            first.setdefault(keys[place], place)
        unique = np.fromiter(first.values(), dtype=np.intp, count=len(first))
        outputs = self._predict(plan, frame, unique)
        failed = _not_a_number(outputs, len(unique))
        predicted_us = self._store.time_micros()
        event_us = _input_times(plan, frame, unique, predicted_us)
        if not failed.all():
            kept = np.flatnonzero(~failed)
            blobs = self._encode(plan, judged, outputs, kept, unique, event_us, predicted_us)
            self._write_back(plan.view, [key for key in first if key is not None], kept, blobs)
        position = {key: number for number, key in enumerate(first)}
        places = np.fromiter((position[keys[place]] for place in rows.tolist()), dtype=np.intp, count=len(rows))
        return LiveRows(
            rows=rows,
            columns={name: take_column(column, places) for name, column in outputs.items()},
            event_us=event_us[places],
            predicted_us=predicted_us,
            failed=failed[places],
        )

    def _predict(self, plan: PredictionPlan, frame: Frame, rows: np.ndarray[Any, Any]) -> dict[str, Column]:
        try:
            inputs = {a.name: function_input(take_column(frame.argument(a), rows)) for a in plan.arguments}
        except OnDemandFailed as error:
            raise InferenceFailed(f"prediction view {plan.view.name!r}: {error}", view=plan.view.name) from error
        found = self._predictor.predict(plan.view.model, inputs)
        try:
            return check_outputs(plan.view.features, found, len(rows))
        except ValueMismatch as error:
            model = plan.view.model
            raise InferenceFailed(
                f"prediction view {plan.view.name!r}: model {model.name!r} version {model.version!r} "
                f"({model.load.path}) {error}",
                view=plan.view.name,
            ) from error

    def _encode(
        self,
        plan: PredictionPlan,
        judged: PredictionRows,
        outputs: Mapping[str, Column],
        kept: np.ndarray[Any, Any],
        unique: np.ndarray[Any, Any],
        event_us: np.ndarray[Any, Any],
        predicted_us: int,
    ) -> list[bytes]:
        import pyarrow as pa

        from featurestore.codec.arrow import arrow_schema

        fields = stored_features(plan.view)
        values: dict[str, Any] = {name: python_values(take_column(column, kept)) for name, column in outputs.items()}
        digest = np.zeros(len(unique), dtype=np.int64) if judged.digest is None else judged.digest[unique]
        values[INPUTS_DIGEST] = digest[kept].tolist()
        values[INPUTS_TIMESTAMP] = pa.array(event_us[kept], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        identity = (plan.view.name, plan.view.version)
        codec = self._codecs.get(identity)
        if codec is None:
            codec = self._codecs[identity] = RowCodec(fields)
        return codec.encode(
            pa.table(values, schema=arrow_schema(fields)),
            event_us=event_us[kept],
            created_us=np.full(len(kept), predicted_us, dtype=np.int64),
        )

    def _write_back(
        self, view: PredictionViewNode, keys: Sequence[bytes], kept: np.ndarray[Any, Any], blobs: Sequence[bytes]
    ) -> None:
        pairs = [(keys[place], blob) for place, blob in zip(kept.tolist(), blobs, strict=True)]
        try:
            self._store.write_if_newer(pairs)
        except (OnlineStoreUnavailable, DeadlineExceeded) as error:
            logger.warning("predictions of view %s were made but not written back: %s", view.name, error)


def _input_times(
    plan: PredictionPlan, frame: Frame, rows: np.ndarray[Any, Any], accepted_us: int
) -> np.ndarray[Any, Any]:
    """Give the greatest event time of each row's inputs; the accept time where there is none."""
    floor = np.iinfo(np.int64).min
    latest = np.full(len(rows), floor, dtype=np.int64)
    for index in plan.inputs:
        read = frame.rows[index]
        times = np.where(read.present[rows], read.decoded.event_us[rows], floor)
        latest = np.maximum(latest, times)
    return np.where(latest == floor, accepted_us, latest)


def _not_a_number(outputs: Mapping[str, Column], count: int) -> np.ndarray[Any, Any]:
    failed = np.zeros(count, dtype=bool)
    for values, _valid in outputs.values():
        if values.dtype.kind == "f":
            failed |= np.isnan(values)
    return failed
