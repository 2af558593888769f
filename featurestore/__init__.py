"""Feature definitions in, features and predictions out: the public names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurestore.spec.aggregation import Aggregation
from featurestore.spec.entity import Entity, Field
from featurestore.spec.expectation import Expectation
from featurestore.spec.feature_view import (
    BatchFeatureView,
    FeatureView,
    OnDemandFeatureView,
    StreamFeatureView,
    batch_feature_view,
    on_demand_feature_view,
)
from featurestore.spec.permission import Permission, RoleBasedPolicy
from featurestore.spec.prediction import Model, PredictionView
from featurestore.spec.push import PushMode
from featurestore.spec.service import FeatureService
from featurestore.spec.source import (
    DeltaSource,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
    after,
    marker,
    watermark,
)

if TYPE_CHECKING:
    from featurestore.store import FeatureStore

__all__ = [
    "Aggregation",
    "BatchFeatureView",
    "DeltaSource",
    "Entity",
    "Expectation",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "KafkaSource",
    "Model",
    "OnDemandFeatureView",
    "Permission",
    "PredictionView",
    "PushMode",
    "PushSource",
    "RequestSource",
    "RoleBasedPolicy",
    "StreamFeatureView",
    "after",
    "batch_feature_view",
    "marker",
    "on_demand_feature_view",
    "watermark",
]


def __getattr__(name: str) -> Any:
    if name == "FeatureStore":
        from featurestore.store import FeatureStore

        return FeatureStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
