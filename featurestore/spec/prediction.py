"""Prediction views: a model's outputs as versioned, cached values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from featurestore.spec.entity import Entity, Field
from featurestore.spec.expectation import Expectation
from featurestore.spec.feature_view import BatchFeatureView, OnDemandFeatureView, Schedule, StreamFeatureView
from featurestore.spec.selection import FeatureSelection, Selectable
from featurestore.spec.service import FeatureService
from featurestore.spec.source import RequestSource

__all__ = ["Model", "PredictionView"]

PredictionInput = BatchFeatureView | StreamFeatureView | OnDemandFeatureView | FeatureSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model version and where it comes from or is: ``load``, ``path`` or ``server``.

    ``load`` is ``"module:function"``: it takes nothing and gives an object whose ``predict`` maps
    ``dict[str, ndarray]`` to ``dict[str, ndarray]``. ``files`` are read by it, relative to the repo: their bytes are
    part of the fingerprint.

    ``path`` is a model file or an MLflow model folder, relative to the repo; its bytes are part of the fingerprint.
    ``format`` is ``"joblib"``, ``"onnx"`` or ``"mlflow"``, and follows from the path where it is not given. ``inputs``
    names the features in the model's order, or maps its input names to features; by default all features in the
    view's order. ``outputs`` maps the view's outputs to what the model gives: a column's number, a name, or
    ``"name[1]"`` for a column of it. ``method`` is what of a scikit-learn model is called: ``predict`` or
    ``predict_proba``.

    ``server`` is the address of a model server that speaks the Open Inference Protocol (KServe v2) over HTTP in JSON,
    such as ``"http://models:8080"``; the model has this name and version there. A call ends after ``timeout``.
    ``inputs`` and ``outputs`` are as for a path.
    """

    name: str
    version: str
    load: str | None = None
    files: Sequence[str] = ()
    path: str | None = None
    format: str | None = None
    method: str = "predict"
    inputs: Sequence[str] | Mapping[str, str] = ()
    outputs: Mapping[str, int | str] = field(default_factory=dict)
    server: str | None = None
    timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionView(Selectable):
    """Predictions computed by schedule, served from the cache, and repaired when missing or stale.

    ``where`` is an SQL predicate over join keys and stored input features: a batch scores the entities of which it is
    true. Lookups may ask for any.

    A lookup that finds a prediction whose age reaches ``max_age`` within ``refresh_ahead`` has it made anew in the
    background. ``shadow`` models are asked in the background for ``shadow_fraction`` of all lookups; what they give is
    logged with the served predictions, and given to nobody.
    """

    name: str
    entities: Sequence[Entity]
    model: Model
    outputs: Sequence[Field]
    features: PredictionInput | Sequence[PredictionInput] | FeatureService | None = None
    request: RequestSource | None = None
    where: str | None = None
    schedule: Schedule | None = None
    start: datetime | None = None
    max_age: timedelta | None = None
    on_stale: str = "infer"
    on_failure: str = "serve_stale"
    refresh: str | Sequence[str] = "on_schedule"
    stale_on: frozenset[str] | set[str] = frozenset({"version", "age", "inputs"})
    input_grace: timedelta = timedelta(minutes=15)
    refresh_ahead: timedelta | None = None
    shadow: Sequence[Model] = ()
    shadow_fraction: float = 1.0
    require_features: bool = True
    attach_to: BatchFeatureView | None = None
    data_delay: timedelta = timedelta(0)
    expectations: Sequence[Expectation] = ()
    freshness: timedelta | None = None
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
