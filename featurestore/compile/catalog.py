"""All definitions by kind and name, those that are only referred to included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from featurestore.compile.loader import Definition, LoadedDefinitions
from featurestore.compile.report import Report
from featurestore.compile.shapes import shape_problems
from featurestore.spec.entity import Entity
from featurestore.spec.feature_view import (
    BatchFeatureView,
    OnDemandFeatureView,
    StreamFeatureView,
)
from featurestore.spec.permission import Permission
from featurestore.spec.prediction import PredictionView
from featurestore.spec.selection import FeatureSelection
from featurestore.spec.service import FeatureService
from featurestore.spec.source import (
    DeltaSource,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
    Source,
)

__all__ = ["AnyView", "Catalog", "build_catalog", "items_of", "parts_of", "selection_of"]

AnyView: TypeAlias = BatchFeatureView | StreamFeatureView | OnDemandFeatureView | PredictionView


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Definitions by name; where two share a name the first stands, and the report has the problem."""

    entities: dict[str, Entity] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    views: dict[str, BatchFeatureView] = field(default_factory=dict)
    stream_views: dict[str, StreamFeatureView] = field(default_factory=dict)
    on_demand_views: dict[str, OnDemandFeatureView] = field(default_factory=dict)
    prediction_views: dict[str, PredictionView] = field(default_factory=dict)
    services: dict[str, FeatureService] = field(default_factory=dict)
    permissions: dict[str, Permission] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Definition]:
        for kind in fields(self):
            yield from getattr(self, kind.name).values()

    def kind_of(self, definition: Definition) -> dict[str, Any]:
        """Give the mapping that holds definitions of this kind."""
        match definition:
            case Entity():
                return self.entities
            case FileSource() | DeltaSource() | PushSource() | KafkaSource() | RequestSource():
                return self.sources
            case BatchFeatureView():
                return self.views
            case StreamFeatureView():
                return self.stream_views
            case OnDemandFeatureView():
                return self.on_demand_views
            case PredictionView():
                return self.prediction_views
            case FeatureService():
                return self.services
            case Permission():
                return self.permissions


def build_catalog(loaded: LoadedDefinitions) -> tuple[Catalog, Report]:
    """Sort definitions by kind, follow their references, and report names that are used twice.

    Equal entities and equal sources may be written twice; of views, services and all others each name is used once.
    Feature views, on-demand views, prediction views and services share one space of names.
    """
    locations: dict[int, str] = {id(entry.definition): entry.location for entry in loaded.objects}
    report = Report(locations, list(loaded.problems), list(loaded.warnings))
    catalog = Catalog()
    seen: set[int] = set()

    def add(definition: Definition) -> None:
        if id(definition) in seen:
            return
        seen.add(id(definition))
        for message in shape_problems(definition):
            report.unsound.add(id(definition))
            report.add(definition, message)
        _register(definition, catalog, report)
        for part in parts_of(definition):
            locations.setdefault(id(part), locations[id(definition)])
            add(part)

    for entry in loaded.objects:
        add(entry.definition)
    return catalog, report


def selection_of(value: Any) -> FeatureSelection:
    """Take a view for a selection of all its features."""
    return value if isinstance(value, FeatureSelection) else FeatureSelection(view=value)


def items_of(values: Any) -> tuple[Any, ...]:
    """Give the items of a list; none of a value that should be a list and is reported as such elsewhere."""
    return tuple(values) if isinstance(values, list | tuple) else ()


def parts_of(definition: Definition) -> tuple[Definition, ...]:
    """Give the definitions that this one refers to."""
    match definition:
        case BatchFeatureView(entities=entities, source=source, sources=sources):
            return _definitions([*items_of(entities), source, *items_of(sources)])
        case StreamFeatureView(entities=entities, source=source):
            return _definitions([*items_of(entities), source])
        case OnDemandFeatureView(entities=entities, sources=sources):
            return _definitions([*items_of(entities), *items_of(sources)])
        case PredictionView(entities=entities, features=features, request=request, attach_to=attached):
            read = [] if features is None else features if isinstance(features, list | tuple) else [features]
            return _definitions([*items_of(entities), *read, request, attached])
        case FeatureService(features=features):
            return _definitions(items_of(features))
        case PushSource(batch_source=batch) | KafkaSource(batch_source=batch):
            return _definitions([batch])
        case _:
            return ()


def _definitions(values: Iterable[Any]) -> tuple[Definition, ...]:
    found = [value.view if isinstance(value, FeatureSelection) else value for value in values]
    return tuple(value for value in found if isinstance(value, Definition))


def _register(definition: Definition, catalog: Catalog, report: Report) -> None:
    name: object = definition.name
    if not isinstance(name, str):
        return
    own = catalog.kind_of(definition)
    shared: list[dict[str, Any]] = [
        catalog.views,
        catalog.stream_views,
        catalog.on_demand_views,
        catalog.prediction_views,
        catalog.services,
    ]
    for kind in shared if any(own is mapping for mapping in shared) else [own]:
        other = kind.get(definition.name)
        if other is None or (kind in (catalog.entities, catalog.sources) and other == definition):
            continue
        report.add(
            definition,
            f"the name is used twice: {type(other).__name__} {other.name!r} is at {report.where(other)}; "
            "rename one of them",
        )
    own.setdefault(definition.name, definition)
