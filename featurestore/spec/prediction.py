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
    """A model version and how to load it.

    ``load`` is ``"module:function"``: it takes nothing and gives an object whose ``predict`` maps
    ``dict[str, ndarray]`` to ``dict[str, ndarray]``. ``files`` are read by it, relative to the repo: their bytes are
    part of the fingerprint.
    """

    name: str
    version: str
    load: str
    files: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionView(Selectable):
    """Predictions computed by schedule, served from the cache, and repaired when missing or stale."""

    name: str
    entities: Sequence[Entity]
    model: Model
    outputs: Sequence[Field]
    features: PredictionInput | Sequence[PredictionInput] | FeatureService | None = None
    request: RequestSource | None = None
    schedule: Schedule | None = None
    start: datetime | None = None
    max_age: timedelta | None = None
    on_stale: str = "infer"
    on_failure: str = "serve_stale"
    refresh: str | Sequence[str] = "on_schedule"
    stale_on: frozenset[str] | set[str] = frozenset({"version", "age", "inputs"})
    input_grace: timedelta = timedelta(minutes=15)
    require_features: bool = True
    attach_to: BatchFeatureView | None = None
    data_delay: timedelta = timedelta(0)
    expectations: Sequence[Expectation] = ()
    freshness: timedelta | None = None
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
