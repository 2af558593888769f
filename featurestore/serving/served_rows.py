"""Rows of the log of served predictions, made of what a lookup judged and gave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.served import served_schema
from featurestore.codec.value import DecodedColumn
from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import ModelNode, PredictionViewNode
from featurestore.ir.served import (
    IS_SHADOW,
    MODEL_NAME,
    MODEL_VERSION,
    PREDICTED_AT,
    SERVED_AT,
    SERVED_REQUEST,
    SERVED_ROW,
    SERVED_STATUS,
    served_landing,
)
from featurestore.ondemand.arrays import Column, numpy_dtype, read_column
from featurestore.serving.entity_rows import to_list
from featurestore.serving.model_batch import ModelBatch, Predicted
from featurestore.serving.predictions import PredictionRows, PredictionStatus
from featurestore.serving.served_log import ServedRows
from featurestore.spec.dtypes import DType, Timestamp

__all__ = ["ServedCall", "served_rows", "shadow_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCall:
    """One call's part for one prediction view: ``columns`` has its join keys and request fields by their own names."""

    view: PredictionViewNode
    request: str
    at_us: int
    columns: Mapping[str, Any]


def served_rows(call: ServedCall, judged: PredictionRows) -> ServedRows:
    """Give the rows of what was answered, one for each row of the request."""
    count = len(judged.codes)

    def table() -> pa.Table:
        answers = judged.answers()
        made = np.array([answer.predicted_at is not None for answer in answers], dtype=bool)
        (event_us, _), (digests, has_digest) = judged.times()[0], judged.digests()
        return _table(
            call,
            columns=call.columns,
            outputs={feature.name: judged.values(feature.name) for feature in call.view.features},
            rows=np.arange(count),
            statuses=[str(answer.status) for answer in answers],
            model=call.view.model,
            versions=[answer.model_version for answer in answers],
            predicted=pa.array([answer.predicted_at for answer in answers], pa.timestamp("us", tz="UTC")),
            event_us=(event_us, made),
            digest=(digests, made & has_digest),
            is_shadow=False,
        )

    return ServedRows(folder=served_landing(call.view), count=count, table=table)


def shadow_rows(call: ServedCall, model: ModelNode, batch: ModelBatch, predicted: Predicted | None) -> ServedRows:
    """Give the rows of a shadow model, one for each entity that it was asked for; FAILED ones where it failed."""
    count = len(batch.keys)
    failed = np.ones(count, dtype=bool) if predicted is None else predicted.failed
    made = ~failed

    def table() -> pa.Table:
        outputs: dict[str, Column] = {}
        if predicted is not None:
            outputs = {n: (v, made if ok is None else ok & made) for n, (v, ok) in predicted.columns.items()}
        at_us = call.at_us if predicted is None else predicted.predicted_us
        event_us = batch.event_us if predicted is None else predicted.event_us
        digest = np.zeros(count, dtype=np.int64) if batch.digest is None else batch.digest
        return _table(
            call,
            columns={name: [to_list(values)[row] for row in batch.rows] for name, values in call.columns.items()},
            outputs=outputs,
            rows=batch.rows,
            statuses=[str(PredictionStatus.LIVE if ok else PredictionStatus.FAILED) for ok in made.tolist()],
            model=model,
            versions=[model.version] * count,
            predicted=_instants((np.full(count, at_us, dtype=np.int64), made)),
            event_us=(event_us, made),
            digest=(digest, made & (batch.digest is not None)),
            is_shadow=True,
        )

    return ServedRows(folder=served_landing(call.view), count=count, table=table)


def _table(
    call: ServedCall,
    *,
    columns: Mapping[str, Any],
    outputs: Mapping[str, Column],
    rows: np.ndarray[Any, Any],
    statuses: list[str],
    model: ModelNode,
    versions: list[str | None],
    predicted: pa.Array[Any],
    event_us: Column,
    digest: Column,
    is_shadow: bool,
) -> pa.Table:
    count = len(rows)
    schema = served_schema(call.view)
    own = {
        SERVED_AT: _instants((np.full(count, call.at_us, dtype=np.int64), None)),
        SERVED_REQUEST: pa.array([call.request] * count),
        SERVED_ROW: pa.array(rows.astype(np.int32)),
        SERVED_STATUS: pa.array(statuses),
        MODEL_NAME: pa.array([model.name] * count),
        MODEL_VERSION: pa.array(versions, pa.string()),
        PREDICTED_AT: predicted,
        INPUTS_TIMESTAMP: _instants(event_us),
        INPUTS_DIGEST: pa.array(digest[0], pa.int64(), mask=None if digest[1] is None else ~digest[1]),
        IS_SHADOW: pa.array([is_shadow] * count),
    }
    arrays = {
        f.name: _array(read_column(f.dtype, to_list(columns[f.name])), f.dtype)
        for f in (*call.view.join_keys, *call.view.request)
    }
    nothing = np.zeros(count, dtype=bool)
    for feature in call.view.features:
        empty = np.zeros(count, numpy_dtype(feature.dtype)), nothing
        arrays[feature.name] = _array(outputs.get(feature.name, empty), feature.dtype)
    return pa.table({name: {**arrays, **own}[name] for name in schema.names}, schema=schema)


def _array(column: Column, dtype: DType) -> pa.Array[Any]:
    values, valid = column
    mask = np.ones(len(values), dtype=bool) if valid is None else valid
    return DecodedColumn(dtype=dtype, values=values, valid=mask).to_arrow()


def _instants(column: Column) -> pa.Array[Any]:
    micros, valid = column
    return _array((micros.view("datetime64[us]"), valid), Timestamp)
