"""Feature services: the named feature set of one model version or application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from featurestore.spec.selection import FeatureSelection, Selectable

__all__ = ["FeatureService"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureService:
    """Features, on-demand features and predictions that are asked for together."""

    name: str
    features: Sequence[Selectable | FeatureSelection]
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
