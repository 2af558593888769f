"""One question to a model: entities of a request, each once, with the inputs just read; and the rows it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from featurestore.codec.restated import restate
from featurestore.codec.stamp import pack_stamp, unstamp_one
from featurestore.codec.value import RowCodec
from featurestore.errors import InferenceFailed, OnDemandFailed
from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import ModelNode, PredictionViewNode
from featurestore.ondemand.arrays import Column, ValueMismatch, function_input, python_values, take_column
from featurestore.ondemand.functions import check_outputs
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.frame import Frame
from featurestore.serving.predictions import PredictionRows

__all__ = ["ModelBatch", "Predicted", "Predictor", "batch_of", "encode_predicted"]

_NO_TIME = np.iinfo(np.int64).min


class Predictor(Protocol):
    """Where models run; a failure is InferenceFailed, whatever went wrong."""

    def predict(self, model: ModelNode, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        """Give a mapping of output name to array."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBatch:
    """Arrays have one item for each key. ``rows`` are the entities' places in the request.

    ``digest`` is that of the inputs, None for a view without; ``event_us`` the greatest event time of the inputs, the
    least int64 where there is none; ``seen`` the stamp of the prediction that was read, empty where there was none.
    ``index`` is the set in which keys are noted that no publication sent.
    """

    view: PredictionViewNode
    keys: tuple[bytes, ...]
    rows: np.ndarray[Any, Any]
    inputs: Mapping[str, np.ndarray[Any, Any]]
    digest: np.ndarray[Any, Any] | None
    event_us: np.ndarray[Any, Any]
    seen: tuple[bytes, ...]
    index: bytes

    def take(self, places: Sequence[int]) -> ModelBatch:
        """Give the batch of some of the entities."""
        if len(places) == len(self.keys):
            return self
        at = np.asarray(places, dtype=np.intp)
        return replace(
            self,
            keys=tuple(self.keys[place] for place in places),
            rows=self.rows[at],
            inputs={name: values[at] for name, values in self.inputs.items()},
            digest=None if self.digest is None else self.digest[at],
            event_us=self.event_us[at],
            seen=tuple(self.seen[place] for place in places),
        )

    def predict(self, predictor: Predictor, model: ModelNode, at_us: int) -> Predicted:
        """Call the model once; InferenceFailed says what it did wrong. ``at_us`` is the time of the prediction."""
        found = predictor.predict(model, self.inputs)
        try:
            columns = check_outputs(self.view.features, found, len(self.keys))
        except ValueMismatch as error:
            raise InferenceFailed(
                f"prediction view {self.view.name!r}: {model.title} {error}", view=self.view.name
            ) from error
        return Predicted(
            columns=columns,
            event_us=np.where(self.event_us == _NO_TIME, at_us, self.event_us),
            predicted_us=at_us,
            failed=_not_a_number(columns, len(self.keys)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the model gave for a batch; ``failed`` marks entities for which it gave NaN."""

    columns: Mapping[str, Column]
    event_us: np.ndarray[Any, Any]
    predicted_us: int
    failed: np.ndarray[Any, Any]


def batch_of(
    plan: PredictionPlan,
    judged: PredictionRows,
    frame: Frame,
    rows: np.ndarray[Any, Any],
    keys: Sequence[bytes | None],
) -> ModelBatch:
    """Make the batch for ``rows`` of the request, each key once; InferenceFailed where an input cannot be computed."""
    first: dict[bytes, int] = {}
    for place in rows.tolist():
        key = keys[place]
        if key is not None:
            first.setdefault(key, place)
    unique = np.fromiter(first.values(), dtype=np.intp, count=len(first))
    try:
        inputs = {a.name: function_input(take_column(frame.argument(a), unique)) for a in plan.arguments}
    except OnDemandFailed as error:
        raise InferenceFailed(f"prediction view {plan.view.name!r}: {error}", view=plan.view.name) from error
    return ModelBatch(
        view=plan.view,
        keys=tuple(first),
        rows=unique,
        inputs=inputs,
        digest=None if judged.digest is None else judged.digest[unique],
        event_us=_input_times(plan, frame, unique),
        seen=_stamps(judged, unique),
        index=judged.index,
    )


def encode_predicted(batch: ModelBatch, predicted: Predicted, codec: RowCodec) -> list[bytes | None]:
    """Give the stored value of each entity, None where the model failed.

    The stamp is (greatest input event time, time of prediction), for every writer of predictions alike. Where the
    inputs went back in time since, a repair having withdrawn the newest, the value stands under the event time of the
    prediction that it replaces, or it would lose against it.
    """
    import pyarrow as pa

    from featurestore.codec.arrow import arrow_schema

    kept = np.flatnonzero(~predicted.failed)
    values: list[bytes | None] = [None] * len(batch.keys)
    if not len(kept):
        return values
    columns: dict[str, Any] = {
        name: python_values(take_column(column, kept)) for name, column in predicted.columns.items()
    }
    digest = np.zeros(len(batch.keys), dtype=np.int64) if batch.digest is None else batch.digest
    columns[INPUTS_DIGEST] = digest[kept].tolist()
    columns[INPUTS_TIMESTAMP] = pa.array(predicted.event_us[kept], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    encoded = codec.encode(
        pa.table(columns, schema=arrow_schema(codec.fields)),
        event_us=predicted.event_us[kept],
        created_us=np.full(len(kept), predicted.predicted_us, dtype=np.int64),
    )
    for place, value in zip(kept.tolist(), encoded, strict=True):
        seen = batch.seen[place]
        is_behind = bool(seen) and seen[:8] > value[:8]
        values[place] = (
            restate(value, unstamp_one(int.from_bytes(seen[:8])), predicted.predicted_us) if is_behind else value
        )
    return values


def _input_times(plan: PredictionPlan, frame: Frame, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Give the greatest event time of each row's inputs."""
    latest = np.full(len(rows), _NO_TIME, dtype=np.int64)
    for index in plan.inputs:
        read = frame.rows[index]
        latest = np.maximum(latest, np.where(read.present[rows], read.decoded.event_us[rows], _NO_TIME))
    return latest


def _stamps(judged: PredictionRows, rows: np.ndarray[Any, Any]) -> tuple[bytes, ...]:
    decoded = judged.own.decoded
    present = decoded.present[rows]
    if not present.any():
        return (b"",) * len(rows)
    event, created = decoded.event_us[rows].tolist(), decoded.created_us[rows].tolist()
    return tuple(
        pack_stamp(at, made) if ok else b"" for ok, at, made in zip(present.tolist(), event, created, strict=True)
    )


def _not_a_number(columns: Mapping[str, Column], count: int) -> np.ndarray[Any, Any]:
    failed = np.zeros(count, dtype=bool)
    for values, valid in columns.values():
        if values.dtype.kind == "f":
            failed |= np.isnan(values) if valid is None else np.isnan(values) & valid
    return failed
