"""Which columns of a write go to which view: a feature to its view, an attached prediction to its own view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.ingest.checks import Checks
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_DIGEST, INPUTS_TIMESTAMP, key_fields
from featurestore.ir.inputs import input_rows, key_columns
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import (
    DeltaSourceNode,
    FileSourceNode,
    Passthrough,
    PredictionViewNode,
    PushSourceNode,
    SourceInput,
    StoredViewNode,
    ViewNode,
)
from featurestore.retrieval.refs import suggest

__all__ = ["PREDICTED_AT", "Route", "TimeColumns", "route_columns"]

PREDICTED_AT = "predicted_at"
"""A prediction's column for when it was made; absent = accepted now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumns:
    """The columns that hold event and created time; None where the frame has none."""

    event: str | None
    created: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The columns that one stored view takes: ``columns`` pairs its features with the frame's columns.

    ``is_attached`` says that the write named the view which the prediction is attached to.
    """

    view: StoredViewNode
    columns: tuple[tuple[str, str], ...]
    times: TimeColumns
    is_attached: bool = False


def route_columns(
    manifest: Manifest,
    view: StoredViewNode,
    names: Sequence[str],
    checks: Checks,
    *,
    also_known: Iterable[str] = (),
) -> list[Route]:
    """Give each owner the columns it takes; ``checks`` gets what is missing, unknown or only a part of a view.

    ``also_known`` names columns that are neither taken nor unknown: those of other versions or other views.
    """
    routes: list[Route] = []
    used: set[str] = {field.name for field in view.join_keys}
    times = _time_columns(manifest, view, names)
    used |= {name for name in (times.event, times.created) if name is not None}
    own = [field.name for field in view.features]
    if isinstance(view, PredictionViewNode):
        routes += _prediction(view, own, names, times, used)
        if routes and len(routes[0].columns) < len(own):
            _refuse_part(view, own, [name for name, _ in routes[0].columns], checks)
    else:
        present = [name for name in own if name in names]
        if present and len(present) < len(own):
            _refuse_part(view, own, present, checks)
        if present:
            routes.append(Route(view=view, columns=tuple((name, name) for name in own), times=times))
            used |= set(own)
        for attached in _attached(manifest, view):
            column = _attached_column(attached, own, names)
            if column is not None:
                columns = ((attached.features[0].name, column),)
                stated = _prediction_times(times, names)
                routes.append(Route(view=attached, columns=columns, times=stated, is_attached=True))
                used |= {column, *(field.name for field in attached.request), PREDICTED_AT, INPUTS_DIGEST}
                used |= {INPUTS_TIMESTAMP, *_input_keys(manifest, attached)}
    if isinstance(view, PredictionViewNode):
        used |= set(_input_keys(manifest, view))
    _check_names(view, manifest, names, used | set(also_known), own, checks)
    needed = {field.name for route in routes for field in key_fields(route.view)} or {f.name for f in view.join_keys}
    if INPUTS_DIGEST not in names:
        predictions = [route.view for route in routes if isinstance(route.view, PredictionViewNode)]
        needed |= {name for prediction in predictions for name in _input_keys(manifest, prediction)}
    for name in sorted(needed - set(names)):
        checks.refuse(name, f"the key column is missing; found {', '.join(names) or 'no columns'}")
    if not routes and not checks.is_refused:
        checks.refuse(view.name, f"there is nothing to write: name its features ({', '.join(own)})")
    return routes


def route_push(
    manifest: Manifest,
    source: PushSourceNode,
    views: Sequence[StoredViewNode],
    names: Sequence[str],
    checks: Checks,
    *,
    also_known: Iterable[str] = (),
) -> list[Route]:
    """Give each view that a push source feeds the columns it takes.

    A view that computes its values (by aggregation, SQL or a function) takes finished ones only: raw rows reach it by
    the batch source. A column that any of the views or the source itself has is known.
    """
    known = {*also_known, *(field.name for field in source.schema)}
    for view in views:
        times = _source_times(manifest, view)
        known |= {field.name for field in (*view.join_keys, *view.features)} | {name for name in times if name}
        for attached in _attached(manifest, view):
            known |= {attached.name, attached.features[0].name, *(field.name for field in attached.request)}
    routes: list[Route] = []
    for view in views:
        own = {field.name for field in view.features}
        computes = isinstance(view, ViewNode) and not isinstance(view.transformation, Passthrough)
        if not own & set(names) or (computes and not own <= set(names)):
            continue
        routes += route_columns(manifest, view, names, checks, also_known=known)
    if not routes and not checks.is_refused:
        found = ", ".join(repr(view.name) for view in views) or "no view that is served"
        checks.refuse(
            source.name,
            f"there is nothing to write: the source feeds {found}, and the frame ({', '.join(names)}) has the features "
            "of none; raw rows of views that compute their values go to the batch source",
        )
    return list({route.view.name: route for route in routes}.values())


def _prediction(
    view: PredictionViewNode, own: Sequence[str], names: Sequence[str], times: TimeColumns, used: set[str]
) -> list[Route]:
    used |= {*own, *(field.name for field in view.request), PREDICTED_AT, INPUTS_DIGEST, INPUTS_TIMESTAMP}
    columns = tuple((name, name) for name in own if name in names)
    if not columns and len(own) == 1 and view.name in names:
        columns = ((own[0], view.name),)
        used.add(view.name)
    return [Route(view=view, columns=columns, times=_prediction_times(times, names))] if columns else []


def _prediction_times(times: TimeColumns, names: Sequence[str]) -> TimeColumns:
    """A prediction is stated when it is made, whenever the features beside it in the frame were."""
    return TimeColumns(event=times.event, created=PREDICTED_AT if PREDICTED_AT in names else None)


def _attached(manifest: Manifest, view: StoredViewNode) -> list[PredictionViewNode]:
    return [other for other in manifest.prediction_views.values() if other.attach_to == view.name]


def _attached_column(view: PredictionViewNode, own: Sequence[str], names: Sequence[str]) -> str | None:
    """Find the column of an attached prediction: named like its view, else like its output."""
    for name in (view.name, view.features[0].name):
        if name in names and name not in own:
            return name
    return None


def _input_keys(manifest: Manifest, view: PredictionViewNode) -> list[str]:
    """Name the columns that find the prediction's input rows."""
    return [
        column
        for row in input_rows(manifest, view)
        for column in key_columns(manifest.stored_view(row.view), row.join_key_map)
    ]


def _time_columns(manifest: Manifest, view: StoredViewNode, names: Sequence[str]) -> TimeColumns:
    """Name the time columns as the view's batch source does, else by their usual names."""
    event, created = _source_times(manifest, view)
    own = {field.name for field in (*view.join_keys, *view.features)}
    return TimeColumns(
        event=next((name for name in (event, EVENT_TIMESTAMP) if name in names and name not in own), None),
        created=next((name for name in (created, CREATED_TIMESTAMP) if name in names and name not in own), None),
    )


def _source_times(manifest: Manifest, view: StoredViewNode) -> tuple[str | None, str | None]:
    if not isinstance(view, ViewNode):
        return None, None
    for entry in view.inputs:
        source = manifest.sources.get(entry.source) if isinstance(entry, SourceInput) else None
        if isinstance(source, PushSourceNode) and source.batch_source is not None:
            source = manifest.sources.get(source.batch_source)
        if isinstance(source, FileSourceNode | DeltaSourceNode):
            return source.timestamp_field, source.created_timestamp_column
    return None, None


def _refuse_part(view: StoredViewNode, own: Sequence[str], present: Sequence[str], checks: Checks) -> None:
    missing = [name for name in own if name not in present]
    checks.refuse(
        ", ".join(missing),
        f"missing; the features of {view.name!r} are stored as one value, so a write has all of them or none: "
        f"found {', '.join(present)}. Give the rest (null where unknown), or leave all of them out",
    )


def _check_names(
    view: StoredViewNode,
    manifest: Manifest,
    names: Sequence[str],
    known: set[str],
    own: Sequence[str],
    checks: Checks,
) -> None:
    valid = [*(field.name for field in view.join_keys), *own, EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    valid += [other.name for other in _attached(manifest, view)]
    for name in names:
        if name not in known:
            checks.refuse(name, f"{view.name!r} has no such column: {suggest(name, valid)}")
