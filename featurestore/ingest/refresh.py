"""Predictions made when their inputs are written, instead of at the next lookup."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from featurestore.errors import DeadlineExceeded, OnlineStoreUnavailable
from featurestore.ingest.frames import Frame, RawColumn
from featurestore.ir.columns import key_fields
from featurestore.ir.inputs import input_rows, key_columns
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode

__all__ = ["Infer", "refresh_predictions"]

logger = logging.getLogger(__name__)

Infer: TypeAlias = Callable[[PredictionViewNode, Mapping[str, Any]], Sequence[Any]]
"""Makes and stores the predictions of entities that are not fresh; gives an answer with a ``status`` for each."""


def refresh_predictions(
    infer: Infer,
    manifest: Manifest,
    views: Sequence[str],
    frame: Frame,
    valid: np.ndarray[Any, Any],
    *,
    asked: bool,
) -> dict[str, int]:
    """Predict for the rows just written, by each view that reads one of ``views`` if ``asked``, else ``on_write`` ones.

    Gives the number of predictions made by view. A view whose key or input keys the frame lacks is left to lookups, and
    so is one whose model fails: the rows are written by then.
    """
    made: dict[str, int] = {}
    for prediction in manifest.prediction_views.values():
        is_wanted = asked or "on_write" in prediction.refresh
        if not is_wanted or not set(views) & set(manifest.parents(prediction)) or not valid.any():
            continue
        needed = _columns(manifest, prediction)
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            logger.warning("%s: not predicted at write: the frame lacks %s", prediction.name, ", ".join(missing))
            continue
        rows = {name: _kept(frame.columns[name], valid) for name in needed}
        try:
            answers = infer(prediction, rows)
        except (OnlineStoreUnavailable, DeadlineExceeded) as error:
            logger.warning("%s: not predicted at write: %s", prediction.name, error)
            continue
        made[prediction.name] = sum(str(answer.status) == "LIVE" for answer in answers)
    return made


def _columns(manifest: Manifest, view: PredictionViewNode) -> list[str]:
    """Name the columns that a lookup of the prediction needs."""
    names = [field.name for field in key_fields(view)]
    for row in input_rows(manifest, view):
        names += key_columns(manifest.stored_view(row.view), row.join_key_map)
    return list(dict.fromkeys(names))


def _kept(column: RawColumn, valid: np.ndarray[Any, Any]) -> list[Any]:
    values = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    return [value for value, ok in zip(values, valid.tolist(), strict=True) if ok]
