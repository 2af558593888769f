"""Parts of views, as services, prediction views and lookups name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.spec.feature_view import BatchFeatureView, OnDemandFeatureView, StreamFeatureView
    from featurestore.spec.prediction import PredictionView

__all__ = ["FeatureSelection", "Selectable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSelection:
    """Some features of a view (all where ``names`` is None), maybe under another name and other key columns.

    ``join_key_map`` maps the view's join key to the column that carries it in the request or spine.
    """

    view: BatchFeatureView | StreamFeatureView | OnDemandFeatureView | PredictionView
    names: tuple[str, ...] | None = None
    alias: str | None = None
    join_key_map: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, names: Sequence[str]) -> FeatureSelection:
        return replace(self, names=tuple([names] if isinstance(names, str) else names))

    def with_name(self, name: str) -> FeatureSelection:
        return replace(self, alias=name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> FeatureSelection:
        return replace(self, join_key_map=dict(join_key_map))


class Selectable:
    """What all views share: ``view[["a", "b"]]``, ``view.with_name(...)``, ``view.with_join_key_map(...)``."""

    __slots__ = ()

    def __getitem__(self, names: Sequence[str]) -> FeatureSelection:
        return FeatureSelection(view=self)[names]  # type: ignore[arg-type]

    def with_name(self, name: str) -> FeatureSelection:
        """Use the view under another name, for instance twice in one service."""
        return FeatureSelection(view=self, alias=name)  # type: ignore[arg-type]

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> FeatureSelection:
        """Take the view's keys from other columns: ``{"user_id": "sender_id"}``."""
        return FeatureSelection(view=self, join_key_map=dict(join_key_map))  # type: ignore[arg-type]
