"""Why there is no live prediction, in words."""

from __future__ import annotations

from featurestore.errors import InferenceFailed, InferenceOverdue
from featurestore.ir.nodes import PredictionViewNode
from featurestore.serving.inference_options import InferenceOptions
from featurestore.serving.model_batch import ModelBatch, Predicted

__all__ = ["cooling", "left_alone", "no_number", "overdue", "too_many"]


def left_alone(view: PredictionViewNode, failures: int, options: InferenceOptions) -> InferenceFailed:
    return InferenceFailed(
        f"{_owner(view)} is not asked: its last {failures} calls failed, and it is left alone for "
        f"{options.breaker_seconds:g} s",
        view=view.name,
        failures=failures,
    )


def cooling(view: PredictionViewNode, options: InferenceOptions) -> InferenceFailed:
    return InferenceFailed(
        f"{_owner(view)} is not asked: it failed for the same entity less than {options.cooldown_seconds:g} s ago",
        view=view.name,
    )


def too_many(view: PredictionViewNode, options: InferenceOptions) -> InferenceFailed:
    return InferenceFailed(
        f"{_owner(view)} is not asked: {options.threads} model calls run in this process and {options.backlog} "
        "wait, or a probe of a model that failed is under way",
        view=view.name,
    )


def overdue(batch: ModelBatch, count: int) -> InferenceOverdue:
    return InferenceOverdue(
        f"{_owner(batch.view)} gave no prediction for {count} of {len(batch.keys)} entities before the deadline; "
        "a late one is written back",
        view=batch.view.name,
        missing=count,
    )


def no_number(batch: ModelBatch, predicted: Predicted) -> InferenceFailed:
    rows = batch.rows[predicted.failed].tolist()
    return InferenceFailed(
        f"{_owner(batch.view)} gave NaN for {len(rows)} of {len(batch.keys)} rows, such as entity row {rows[0]}; "
        "valid is a number",
        view=batch.view.name,
        rows=rows,
    )


def _owner(view: PredictionViewNode) -> str:
    return f"prediction view {view.name!r}: {view.model.title}"
