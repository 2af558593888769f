"""The public names are the listed ones, sorted, and all there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import featurestore

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in (ROOT / "featurestore").rglob("*.py")
    if "airflow" not in path.name and "__pycache__" not in path.parts
)

PUBLIC = [
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


def test_the_package_exports_the_documented_names() -> None:
    assert sorted(featurestore.__all__) == PUBLIC
    assert featurestore.__all__ == sorted(featurestore.__all__)
    assert all(getattr(featurestore, name) is not None for name in featurestore.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = featurestore.Nothing


@pytest.mark.parametrize("name", MODULES)
def test_every_module_exports_what_it_lists(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert [entry for entry in listed if not hasattr(module, entry)] == []
    assert len(set(listed)) == len(listed)
