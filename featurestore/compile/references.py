"""Which features a definition reads, as references to single features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from featurestore.compile.catalog import selection_of
from featurestore.compile.schemas import Schemas
from featurestore.ir.nodes import FeatureRef
from featurestore.spec.prediction import PredictionView
from featurestore.spec.selection import FeatureSelection
from featurestore.spec.service import FeatureService

__all__ = ["feature_refs", "selections_of"]


def selections_of(view: PredictionView) -> tuple[FeatureSelection, ...]:
    """Give what a prediction view reads, whether it names views, selections or a service."""
    match view.features:
        case None:
            return ()
        case FeatureService(features=features):
            return tuple(selection_of(entry) for entry in features)
        case list() | tuple():
            return tuple(selection_of(entry) for entry in view.features)
        case _:
            return (selection_of(view.features),)


def feature_refs(selections: Iterable[FeatureSelection], schemas: Schemas) -> Iterator[FeatureRef]:
    """Name each selected feature; all of a view whose selection names none."""
    for selection in selections:
        names = selection.names
        if names is None:
            names = tuple(item.name for item in schemas.features(selection.view) or ())
        for name in names:
            yield FeatureRef(
                view=selection.view.name,
                feature=name,
                alias=selection.alias or selection.view.name,
                join_key_map=tuple(sorted(selection.join_key_map.items())),
            )
