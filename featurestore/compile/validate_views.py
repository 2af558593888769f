"""Problems of batch feature views, and of the selections that read views."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from featurestore.compile.aggregates import default_name, is_lossless
from featurestore.compile.catalog import AnyView, selection_of
from featurestore.compile.report import Report, choices, unknown
from featurestore.compile.schemas import Schemas, batch_source_of, inputs_of, join_keys_of
from featurestore.compile.validate_aggregations import check_aggregations
from featurestore.compile.validate_expectations import check_expectations
from featurestore.compile.validate_features import check_features
from featurestore.compile.validate_transformations import check_transformation
from featurestore.intervals import EPOCH, show_duration
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.schedule import PeriodSchedule, parse_schedule
from featurestore.spec.dtypes import DType, show_dtype
from featurestore.spec.feature_view import BatchFeatureView, OnDemandFeatureView, Schedule, StreamFeatureView, ViewInput
from featurestore.spec.prediction import PredictionView
from featurestore.spec.selection import FeatureSelection
from featurestore.spec.source import KafkaSource, PushSource, RequestSource, Source

__all__ = ["check_duration", "check_schedule", "check_selection", "check_view"]


def check_view(view: BatchFeatureView, schemas: Schemas, report: Report, repo: Path) -> None:
    """Check a batch feature view's options, inputs, transformation, features and expectations."""
    step = _check_options(view, report)
    if view.sql and view.function:
        report.add(view, "has sql and function; a view has at most one of them")
    _check_inputs(view, schemas, report)
    if not view.entities:
        report.add(view, "has no entities; name at least one, such as entities=[user]")
    if not (view.sql and view.function):
        check_transformation(view, schemas, report, repo)
        if view.aggregations:
            check_aggregations(view, schemas, report, step)
    features = [item.name or default_name(item) for item in view.aggregations] or [item.name for item in view.schema]
    if not features:
        features = [item.name for item in schemas.features(view) or ()]
    check_features(view, features, report)
    check_expectations(view, schemas, report)


def check_selection(
    selection: FeatureSelection, owner: Any, schemas: Schemas, report: Report, *, attached: bool = False
) -> None:
    """Check the names and keys that ``owner`` selects of a view; ``attached`` allows predictions mounted on it."""
    view = selection.view
    if isinstance(view, StreamFeatureView):
        report.add(owner, f"reads stream view {view.name!r}; stream views are not available in this release")
        return
    features = schemas.features(view)
    if selection.names is not None and not selection.names:
        report.add(owner, f"selects no feature of {view.name!r}; name at least one, or use the view itself for all")
    if features is not None:
        valid = [item.name for item in features]
        valid += [
            name for name, other in schemas.catalog.prediction_views.items() if attached and other.attach_to is view
        ]
        for name in selection.names or ():
            if name not in valid:
                report.add(owner, f"view {view.name!r}: {unknown('feature', name, valid)}")
    keys = [] if isinstance(view, OnDemandFeatureView) else [key.name for key in join_keys_of(view.entities)]
    for name in selection.join_key_map:
        if name not in keys:
            report.add(owner, f"join_key_map of view {view.name!r}: {unknown('join key', name, keys)}")


def check_duration(owner: Any, option: str, value: timedelta | None, report: Report, *, positive: bool = False) -> None:
    """Refuse a negative duration, and with ``positive`` a zero one."""
    if value is not None and (value < timedelta(0) or (positive and not value)):
        valid = "a duration greater than zero" if positive else "a duration of zero or more"
        report.add(owner, f"{option}={value!r} is not valid; valid is {valid}")


def check_schedule(owner: Any, schedule: Schedule | None, report: Report) -> timedelta | None:
    """Check the schedule; give its step's length (of a cron expression, one of its steps)."""
    if schedule is None:
        return None
    try:
        grid = parse_schedule(schedule)
    except ValueError as error:
        report.add(owner, f"schedule: {error}")
        return None
    if isinstance(grid, PeriodSchedule):
        return grid.period
    first = grid.next(EPOCH)
    return grid.next(first) - first


def _check_options(view: BatchFeatureView, report: Report) -> timedelta | None:
    step = check_schedule(view, view.schedule, report)
    for option in ("late_data", "data_delay", "ttl"):
        check_duration(view, option, getattr(view, option), report)
    for option in ("lookback", "freshness"):
        check_duration(view, option, getattr(view, option), report, positive=True)
    if view.on_expired not in ("null", "serve"):
        report.add(view, choices("on_expired", view.on_expired, ("null", "serve")))
    if view.per not in ("row", "step"):
        report.add(view, choices("per", view.per, ("row", "step")))
    if view.engine != "spark":
        report.add(view, choices("engine", view.engine, ("spark",)))
    is_code = (view.sql or view.function) is not None
    by_step = bool(view.aggregations) or (is_code and (view.per == "step" or view.lookback is not None))
    if by_step and view.schedule is None:
        report.add(view, 'is computed by step and has no schedule; give one, such as schedule="@daily"')
    if (by_step or view.schedule is not None) and view.start is None:
        report.add(
            view,
            "has no start; give the time from which steps are computed, such as start=datetime(2026, 1, 1, tzinfo=UTC)",
        )
    if view.freshness is not None and step is not None and view.freshness < step:
        report.warn(
            view,
            f"freshness={show_duration(view.freshness)} is shorter than the schedule's step of {show_duration(step)}: "
            "the view counts as stale between steps",
        )
    return step


def _check_inputs(view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    inputs = inputs_of(view)
    if view.source is not None and view.sources:
        report.add(view, "has both source= and sources=; give one of them")
    if not inputs:
        report.add(view, "has no source; name where its rows come from by source= or sources=")
    if len(inputs) > 1 and not (view.sql or view.function):
        report.add(view, f"has {len(inputs)} sources and no sql or function that joins them; give one source")
    names = [_alias(entry) for entry in inputs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        report.add(view, f"has two inputs called {name!r}; give one of them another name by with_name(...)")
    for entry in inputs:
        if isinstance(entry, Source):
            _check_source_input(entry, view, schemas, report)
        else:
            _check_view_input(selection_of(entry), view, schemas, report)


def _check_source_input(source: Source, view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    if isinstance(source, RequestSource):
        report.add(view, f"reads request source {source.name!r}, which only on-demand views and prediction views can")
        return
    batch = batch_source_of(source)
    if isinstance(source, PushSource) and batch is None:
        _check_push_fed(source, view, schemas, report)
        return
    if batch is None:
        report.add(
            view,
            f"reads Kafka source {source.name!r} without a batch_source, which is not available in this release; "
            "give it one",
        )
        return
    if isinstance(source, PushSource | KafkaSource) and batch.name not in schemas.sources:
        return
    if view.sql or view.function:
        return  # keys may come from any of the inputs, or be made by the transformation
    if batch.timestamp_field is None:
        report.add(view, f"source {batch.name!r} has no timestamp_field, so its rows have no time; give it one")
    _check_keys(view, f"source {batch.name!r}", schemas.columns(source), report)


def _check_push_fed(source: PushSource, view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    """Check a view whose rows are pushed and nothing else: there is no history that a step could read."""
    steps = [name for name in ("schedule", "aggregations", "sql", "function") if getattr(view, name)]
    if steps:
        report.add(
            view,
            f"has {' and '.join(steps)} but reads push source {source.name!r}, which has no batch_source to compute "
            f"from; give the source one, or leave out {' and '.join(steps)}",
        )
    if not view.schema and not source.schema:
        report.add(
            view,
            f"reads push source {source.name!r}, and neither has a schema; give one of them schema=[Field(...), ...]",
        )
    keys = [key.name for key in join_keys_of(view.entities)]
    listed = [column for column in schemas.columns(source) or () if column.name in keys]
    if len(listed) == len(keys):
        _check_keys(view, f"push source {source.name!r}", listed, report)


def _check_view_input(selection: FeatureSelection, view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    parent: AnyView = selection.view
    if isinstance(parent, OnDemandFeatureView | PredictionView):
        report.add(
            view, f"reads {type(parent).__name__} {parent.name!r}; valid inputs are sources and batch feature views"
        )
        return
    check_selection(selection, view, schemas, report)
    if not (view.sql or view.function) and isinstance(parent, BatchFeatureView):
        _check_keys(view, f"view {parent.name!r}", schemas.columns(selection), report)


def _check_keys(view: BatchFeatureView, owner: str, columns: Iterable[Any] | None, report: Report) -> None:
    if columns is None:
        return
    types = {column.name: column.dtype for column in columns}
    for key in join_keys_of(view.entities):
        wanted: object = key.dtype  # an entity's wrongly typed dtypes are told there
        if key.name not in types:
            report.add(
                view, f"{owner} lacks the join key: {unknown('column', key.name, set(types) - {EVENT_TIMESTAMP})}"
            )
        elif isinstance(wanted, DType) and not is_lossless(types[key.name], wanted):
            report.add(
                view,
                f"join key {key.name!r} has type {show_dtype(types[key.name])} in {owner} and "
                f"{show_dtype(wanted)} in its entity; give the entity dtypes=[...] that match the data",
            )


def _alias(entry: ViewInput) -> str:
    return entry.name if isinstance(entry, Source) else (selection_of(entry).alias or selection_of(entry).view.name)
