"""What happens to stale and missing predictions: the view's ``on_stale`` and ``on_failure``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, assert_never

import numpy as np

from featurestore.errors import InferenceFailed, StalePrediction
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.predictions import FAILED, MISSING, STALE, LiveRows, PredictionRows
from featurestore.serving.rows import ViewRows

__all__ = ["Infer", "inferable", "settle"]

logger = logging.getLogger(__name__)

Infer = Callable[["np.ndarray[Any, Any]"], LiveRows]
"""Predicts for the named rows of the request."""


def settle(
    plan: PredictionPlan,
    judged: PredictionRows,
    rows: Sequence[ViewRows],
    keys: Sequence[bytes | None],
    infer: Infer | None,
    *,
    anew: bool = False,
) -> None:
    """Apply the view's policies to the rows that are stale or missing; without ``infer`` stale ones are served.

    With ``anew`` all are inferred, and of one that fails there is no value and no error.
    """
    if judged.is_fresh:
        return
    view, needing = plan.view, judged.needing()
    if anew and infer is not None:
        quiet = replace(plan, view=replace(view, on_failure="null"))
        _repair(quiet, judged, rows, keys, needing, infer)
        return
    match view.on_stale:
        case "serve_stale":
            return
        case "null":
            judged.hide(needing[judged.codes[needing] == STALE], STALE)
        case "error":
            _refuse(judged, needing, keys)
        case "infer":
            if infer is not None:
                _repair(plan, judged, rows, keys, needing, infer)
        case _:
            assert_never(view.on_stale)


def _repair(
    plan: PredictionPlan,
    judged: PredictionRows,
    rows: Sequence[ViewRows],
    keys: Sequence[bytes | None],
    needing: np.ndarray[Any, Any],
    infer: Infer,
) -> None:
    able = np.isin(needing, inferable(plan, rows, keys))
    judged.hide(needing[~able], MISSING)
    needing = needing[able]
    if not len(needing):
        return
    try:
        live = infer(needing)
    except InferenceFailed as error:
        if plan.view.on_failure == "error":
            raise
        logger.warning("%s", error)
        _fall_back(plan, judged, needing)
        return
    judged.put(live)
    if live.failed.any():
        failed = needing[live.failed]
        if live.error is not None and plan.view.on_failure == "error":
            raise live.error
        logger.warning("%d rows without a live prediction: %s", len(failed), live.error)
        _fall_back(plan, judged, failed)


def inferable(plan: PredictionPlan, rows: Sequence[ViewRows], keys: Sequence[bytes | None]) -> np.ndarray[Any, Any]:
    """Give the places of rows that a model may be asked for: the key is whole, and an input is there if it must be."""
    able = np.array([key is not None for key in keys], dtype=bool)
    if plan.inputs and plan.view.require_features:
        usable = rows[plan.inputs[0]].usable()
        for index in plan.inputs[1:]:
            usable = usable | rows[index].usable()
        able &= usable
    return np.flatnonzero(able)


def _fall_back(plan: PredictionPlan, judged: PredictionRows, failed: np.ndarray[Any, Any]) -> None:
    keeps_stale = plan.view.on_failure == "serve_stale"
    judged.hide(failed[judged.codes[failed] == MISSING] if keeps_stale else failed, FAILED)


def _refuse(judged: PredictionRows, needing: np.ndarray[Any, Any], keys: Sequence[bytes | None]) -> None:
    refused = [place for place in needing.tolist() if keys[place] is not None]
    if refused:
        stale = sum(int(judged.codes[place]) == STALE for place in refused)
        name = judged.view.name
        raise StalePrediction(
            f"prediction view {name!r} has on_stale='error': of {len(judged.codes)} entity rows {stale} are stale and "
            f"{len(refused) - stale} have no prediction, such as entity row {refused[0]}; score the view again, "
            "or let on_stale say what to serve",
            view=name,
            rows=refused,
        )
