"""Find all problems of all definitions; nothing is raised here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from featurestore.compile.catalog import Catalog, selection_of
from featurestore.compile.report import Report, choices, unknown
from featurestore.compile.schemas import Schemas, inputs_of
from featurestore.compile.validate_predictions import check_on_demand_view, check_prediction_view
from featurestore.compile.validate_sources import check_source
from featurestore.compile.validate_views import check_selection, check_view
from featurestore.spec.entity import Entity
from featurestore.spec.feature_view import BatchFeatureView
from featurestore.spec.permission import Permission
from featurestore.spec.service import FeatureService
from featurestore.spec.source import Source

__all__ = ["ACTIONS", "validate"]

ACTIONS = frozenset(
    "CREATE DESCRIBE UPDATE DELETE READ_ONLINE READ_OFFLINE WRITE_ONLINE WRITE_OFFLINE".split()  # noqa: SIM905
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PERMISSION_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def validate(catalog: Catalog, schemas: Schemas, report: Report, repo: Path) -> None:
    """Add every problem and warning to the report; definitions with a wrongly typed option are told that first."""
    for definition in catalog:
        pattern = _PERMISSION_NAME if isinstance(definition, Permission) else _NAME
        if not pattern.fullmatch(definition.name):
            report.add(
                definition,
                f"the name {definition.name!r} is not valid; write small letters, digits and _, a letter first",
            )
    for entity in schemas.sound(catalog.entities):
        _check_entity(entity, report)
    for source in schemas.sound(catalog.sources):
        check_source(source, schemas, report)
    _check_cycles(catalog, report)
    for view in schemas.sound(catalog.views):
        check_view(view, schemas, report, repo)
    for stream in schemas.sound(catalog.stream_views):
        report.add(
            stream, "stream views are not available in this release; use a BatchFeatureView on the topic's batch_source"
        )
    for on_demand in schemas.sound(catalog.on_demand_views):
        check_on_demand_view(on_demand, schemas, report, repo)
    for prediction in schemas.sound(catalog.prediction_views):
        check_prediction_view(prediction, schemas, report, repo)
    for service in schemas.sound(catalog.services):
        _check_service(service, schemas, report)
    for permission in schemas.sound(catalog.permissions):
        _check_permission(permission, report)


def _check_entity(entity: Entity, report: Report) -> None:
    if len(entity.dtypes) != len(entity.join_keys):
        report.add(
            entity,
            f"found {len(entity.dtypes)} dtypes for {len(entity.join_keys)} join keys; give one type for each of "
            f"{', '.join(entity.join_keys)}",
        )
    for key in _repeated(entity.join_keys):
        report.add(entity, f"join key {key!r} is listed twice")
    for key, dtype in zip(entity.join_keys, entity.dtypes, strict=False):
        if dtype.name in ("array", "map", "float32", "float64", "json"):
            report.add(
                entity,
                f"join key {key!r} has type {dtype.name}; "
                "valid are int32, int64, string, bytes, bool, date, timestamp, decimal",
            )


def _check_cycles(catalog: Catalog, report: Report) -> None:
    parents = {name: _parents(view) for name, view in catalog.views.items()}
    told: set[str] = set()
    for name in sorted(parents):
        path = [name]
        trail = _find_path(parents, name, path, set())
        if trail and not told & set(trail):
            told.update(trail)
            report.add(catalog.views[name], f"the view reads itself: {' ← '.join(trail)}; take one of these inputs out")


def _find_path(parents: dict[str, list[str]], goal: str, path: list[str], seen: set[str]) -> list[str] | None:
    for parent in parents.get(path[-1], []):
        if parent == goal:
            return [*path, parent]
        if parent not in seen:
            seen.add(parent)
            found = _find_path(parents, goal, [*path, parent], seen)
            if found:
                return found
    return None


def _parents(view: BatchFeatureView) -> list[str]:
    inputs = [selection_of(entry).view for entry in inputs_of(view) if not isinstance(entry, Source)]
    return [parent.name for parent in inputs if isinstance(parent, BatchFeatureView)]


def _check_service(service: FeatureService, schemas: Schemas, report: Report) -> None:
    if not service.features:
        report.add(service, "has no features; name at least one view or selection, such as features=[user_data]")
    taken: dict[tuple[str, str], str] = {}
    for entry in service.features:
        selection = selection_of(entry)
        check_selection(selection, service, schemas, report, attached=True)
        alias = selection.alias or selection.view.name
        for name in selection.names or [item.name for item in schemas.features(selection.view) or ()]:
            if (alias, name) in taken:
                report.add(
                    service,
                    f"{alias}:{name} is listed twice; list it once, or give the view another name by with_name(...)",
                )
            taken[alias, name] = alias


def _check_permission(permission: Permission, report: Report) -> None:
    for action in permission.actions:
        if action not in ACTIONS:
            report.add(permission, unknown("action", action, ACTIONS))
    for pattern in permission.name_patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            report.add(permission, f"name pattern {pattern!r} is no regular expression: {error}")
    known = {kind.__name__ for kind in _secured()}
    for kind in permission.types:
        if kind.__name__ not in known:
            report.add(permission, choices("types", kind.__name__, known))
    if not permission.policy.roles:
        report.add(permission, "its policy names no role, so it would allow nobody; give RoleBasedPolicy(roles=[...])")


def _secured() -> tuple[type, ...]:
    from featurestore.compile.loader import Definition

    return tuple(kind for kind in Definition.__args__ if kind is not Permission)


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
