"""Lower valid definitions to nodes; nothing here can find a problem any more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from featurestore.compile.aggregates import default_name
from featurestore.compile.catalog import Catalog, selection_of
from featurestore.compile.code import code_ref
from featurestore.compile.models import model_node
from featurestore.compile.references import feature_refs, selections_of
from featurestore.compile.schemas import (
    Schemas,
    batch_source_of,
    field_nodes,
    inputs_of,
    join_keys_of,
)
from featurestore.compile.written_views import written_keys
from featurestore.intervals import to_utc
from featurestore.ir import nodes
from featurestore.ir.fingerprint import fingerprint
from featurestore.ir.manifest import Manifest
from featurestore.ir.schedule import ScheduleNode, parse_schedule
from featurestore.spec.aggregation import AggregationFunction
from featurestore.spec.expectation import Expectation
from featurestore.spec.feature_view import (
    BatchFeatureView,
    OnDemandFeatureView,
    Schedule,
    ViewInput,
)
from featurestore.spec.permission import Permission
from featurestore.spec.prediction import PredictionView
from featurestore.spec.service import FeatureService
from featurestore.spec.source import PushSource, RequestSource, Source

_T = TypeVar("_T")

__all__ = ["function_path", "lower", "views_in_order"]


def lower(catalog: Catalog, schemas: Schemas, *, project: str, repo: Path) -> Manifest:
    """Make the manifest; views are fingerprinted after those they read. Versions are stamped by ``apply``."""
    views: dict[str, nodes.ViewNode] = {}
    on_demand: dict[str, nodes.OnDemandViewNode] = {}
    predictions: dict[str, nodes.PredictionViewNode] = {}
    manifest = Manifest(
        project=project,
        entities={
            name: nodes.EntityNode(name=name, keys=join_keys_of([entity])) for name, entity in _sorted(catalog.entities)
        },
        sources=dict(sorted(schemas.sources.items())),
        views=views,
        on_demand_views=on_demand,
        prediction_views=predictions,
    )
    lowering = _Lowering(schemas=schemas, repo=repo)
    for view in views_in_order(catalog):
        node = lowering.view(view)
        views[view.name] = replace(node, fingerprint=fingerprint(node, manifest))
    for name, definition in _sorted(catalog.on_demand_views):
        computed = lowering.on_demand(definition)
        on_demand[name] = replace(computed, fingerprint=fingerprint(computed, manifest))
    for name, prediction in _sorted(catalog.prediction_views):
        predicted = lowering.prediction(prediction)
        predictions[name] = replace(predicted, fingerprint=fingerprint(predicted, manifest))
    return replace(
        manifest,
        views=dict(sorted(views.items())),
        services={name: lowering.service(service) for name, service in _sorted(catalog.services)},
        permissions={name: _permission(permission) for name, permission in _sorted(catalog.permissions)},
    )


def views_in_order(catalog: Catalog) -> tuple[BatchFeatureView, ...]:
    """Give the views with those they read before them; the views of a cycle keep some order."""
    done: dict[str, BatchFeatureView] = {}
    entered: set[str] = set()

    def visit(view: BatchFeatureView) -> None:
        if view.name in entered:
            return
        entered.add(view.name)
        for entry in inputs_of(view):
            if not isinstance(entry, Source):
                parent = selection_of(entry).view
                if isinstance(parent, BatchFeatureView):
                    visit(parent)
        done[view.name] = view

    for _, view in _sorted(catalog.views):
        visit(view)
    return tuple(done.values())


def function_path(function: object) -> str:
    """Name a function as ``module:qualname``."""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lowering:
    schemas: Schemas
    repo: Path

    def view(self, view: BatchFeatureView) -> nodes.ViewNode:
        return nodes.ViewNode(
            name=view.name,
            join_keys=join_keys_of(view.entities),
            entities=tuple(entity.name for entity in view.entities),
            inputs=tuple(self._input(entry) for entry in inputs_of(view)),
            transformation=self._transformation(view),
            features=self._features(view),
            start=to_utc(view.start) if view.start else None,
            schedule=_schedule(view.schedule),
            ttl=view.ttl or None,
            online=view.online,
            late_data=view.late_data,
            data_delay=view.data_delay,
            on_expired=view.on_expired,  # type: ignore[arg-type]
            freshness=view.freshness,
            expectations=_expectations(view.expectations),
            engine=view.engine,
            owner=view.owner,
            tags=_pairs(view.tags),
            description=view.description,
            push_sources=tuple(entry.name for entry in inputs_of(view) if isinstance(entry, PushSource)),
        )

    def on_demand(self, view: OnDemandFeatureView) -> nodes.OnDemandViewNode:
        requests = [entry for entry in view.sources if isinstance(entry, RequestSource)]
        selections = [selection_of(entry) for entry in view.sources if not isinstance(entry, RequestSource)]
        return nodes.OnDemandViewNode(
            name=view.name,
            inputs=tuple(feature_refs(selections, self.schemas)),
            request=tuple(item for request in requests for item in field_nodes(request.schema)),
            features=self._features(view),
            code=code_ref(self.repo, function_path(view.function)),
            mode=view.mode,  # type: ignore[arg-type]
            write_to_online_store=view.write_to_online_store,
            join_keys=written_keys(view),
            entities=tuple(entity.name for entity in view.entities),
            owner=view.owner,
            tags=_pairs(view.tags),
            description=view.description,
        )

    def prediction(self, view: PredictionView) -> nodes.PredictionViewNode:
        return nodes.PredictionViewNode(
            name=view.name,
            join_keys=join_keys_of(view.entities),
            entities=tuple(entity.name for entity in view.entities),
            inputs=tuple(feature_refs(selections_of(view), self.schemas)),
            request=field_nodes(view.request.schema) if view.request else (),
            model=model_node(view, self.schemas, self.repo),
            features=self._features(view),
            where=view.where,
            start=to_utc(view.start) if view.start else None,
            schedule=_schedule(view.schedule),
            max_age=view.max_age,
            on_stale=view.on_stale,  # type: ignore[arg-type]
            on_failure=view.on_failure,  # type: ignore[arg-type]
            refresh=(view.refresh,) if isinstance(view.refresh, str) else tuple(sorted(view.refresh)),
            stale_on=tuple(sorted(view.stale_on)),
            input_grace=view.input_grace,
            refresh_ahead=view.refresh_ahead,
            shadow=tuple(model_node(replace(view, model=model), self.schemas, self.repo) for model in view.shadow),
            shadow_fraction=view.shadow_fraction,
            require_features=view.require_features,
            attach_to=view.attach_to.name if view.attach_to else None,
            data_delay=view.data_delay,
            expectations=_expectations(view.expectations),
            freshness=view.freshness,
            owner=view.owner,
            tags=_pairs(view.tags),
            description=view.description,
        )

    def service(self, service: FeatureService) -> nodes.ServiceNode:
        return nodes.ServiceNode(
            name=service.name,
            features=tuple(feature_refs(map(selection_of, service.features), self.schemas)),
            owner=service.owner,
            tags=_pairs(service.tags),
            description=service.description,
        )

    def _features(self, view: BatchFeatureView | OnDemandFeatureView | PredictionView) -> tuple[nodes.FieldNode, ...]:
        return cast(tuple[nodes.FieldNode, ...], self.schemas.features(view))

    def _input(self, entry: ViewInput) -> nodes.InputNode:
        if isinstance(entry, Source):
            batch = batch_source_of(entry)
            return nodes.SourceInput(source=batch.name if batch else entry.name)
        selection = selection_of(entry)
        names = selection.names or tuple(item.name for item in self.schemas.features(selection.view) or ())
        return nodes.ViewInputNode(
            view=selection.view.name,
            features=names,
            alias=selection.alias or selection.view.name,
            join_key_map=_pairs(selection.join_key_map),
        )

    def _transformation(self, view: BatchFeatureView) -> nodes.Transformation:
        if view.aggregations:
            types = {item.name: item.dtype for item in self._features(view)}
            items = [
                nodes.AggregationNode(
                    name=item.name or default_name(item),
                    function=AggregationFunction(item.function),
                    column=item.column,
                    window=item.window,
                    where=item.where,
                    k=item.k,
                    percentile=item.percentile,
                    limit=item.limit,
                    dtype=types[item.name or default_name(item)],
                )
                for item in view.aggregations
            ]
            code = self._user_code(view, "row")
            columns = tuple(sorted(field_nodes(view.schema), key=lambda column: column.name))
            return nodes.Aggregations(
                items=tuple(sorted(items, key=lambda item: item.name)),
                events=None if code is None else nodes.EventQuery(transformation=code, columns=columns),
            )
        return self._user_code(view, view.per) or nodes.Passthrough()

    def _user_code(
        self, view: BatchFeatureView, per: str
    ) -> nodes.SqlTransformation | nodes.FunctionTransformation | None:
        if view.sql is not None:
            return nodes.SqlTransformation(text=view.sql, per=per, lookback=view.lookback)  # type: ignore[arg-type]
        if view.function is not None:
            code = code_ref(self.repo, function_path(view.function))
            return nodes.FunctionTransformation(code=code, per=per, lookback=view.lookback)  # type: ignore[arg-type]
        return None


def _permission(permission: Permission) -> nodes.PermissionNode:
    return nodes.PermissionNode(
        name=permission.name,
        types=tuple(sorted(kind.__name__ for kind in permission.types)),
        name_patterns=tuple(permission.name_patterns),
        roles=tuple(sorted(permission.policy.roles)),
        actions=tuple(sorted(permission.actions)),
    )


def _expectations(expectations: Iterable[Expectation]) -> tuple[nodes.ExpectationNode, ...]:
    return tuple(
        nodes.ExpectationNode(
            name=expectation.name,
            arguments=json.dumps(expectation.arguments, sort_keys=True),
            severity=expectation.severity,  # type: ignore[arg-type]
            on=expectation.on,  # type: ignore[arg-type]
        )
        for expectation in expectations
    )


def _schedule(schedule: Schedule | None) -> ScheduleNode | None:
    return None if schedule is None else parse_schedule(schedule)


def _pairs(mapping: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(mapping.items()))


def _sorted(mapping: Mapping[str, _T]) -> list[tuple[str, _T]]:
    return sorted(mapping.items())
