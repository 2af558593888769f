"""Problems of on-demand views and prediction views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from featurestore.compile.catalog import selection_of
from featurestore.compile.models import model_problems
from featurestore.compile.references import selections_of
from featurestore.compile.report import Report, choices
from featurestore.compile.schemas import Schemas, join_keys_of
from featurestore.compile.validate_code import function_problems
from featurestore.compile.validate_expectations import check_expectations
from featurestore.compile.validate_features import check_features
from featurestore.compile.validate_views import check_duration, check_schedule, check_selection
from featurestore.compile.written_views import check_written_view
from featurestore.intervals import show_duration
from featurestore.ir.served import SERVED_COLUMNS
from featurestore.spec.feature_view import OnDemandFeatureView
from featurestore.spec.prediction import PredictionView
from featurestore.spec.source import RequestSource

__all__ = ["check_on_demand_view", "check_prediction_view"]

_ON_STALE = ("error", "infer", "null", "serve_stale")
_ON_FAILURE = ("error", "null", "serve_stale")
_REFRESH = ("on_schedule", "on_write")
_STALE_ON = ("age", "inputs", "version")


def check_on_demand_view(view: OnDemandFeatureView, schemas: Schemas, report: Report, repo: Path) -> None:
    """Check an on-demand view's inputs, features, function and options."""
    if not view.schema:
        report.add(view, "has no schema; name its features, such as schema=[Field(name=..., dtype=...)]")
    if not view.sources:
        report.add(view, "has no sources; name the views or request sources that it reads")
    for entry in view.sources:
        if isinstance(entry, RequestSource):
            continue
        selection = selection_of(entry)
        if isinstance(selection.view, OnDemandFeatureView | PredictionView):
            kind = type(selection.view).__name__
            report.add(view, f"reads {kind} {selection.view.name!r}; valid are batch feature views and request sources")
        else:
            check_selection(selection, view, schemas, report)
    if view.mode not in ("numpy", "pandas", "python"):
        report.add(view, choices("mode", view.mode, ("numpy", "pandas", "python")))
    if view.engine != "on_demand":
        report.add(view, choices("engine", view.engine, ("on_demand",)))
    for message in function_problems(view.function, repo, "function"):
        report.add(view, message)
    check_features(view, [item.name for item in view.schema], report)
    check_written_view(view, schemas, report)


def check_prediction_view(view: PredictionView, schemas: Schemas, report: Report, repo: Path) -> None:
    """Check a prediction view's inputs, model, outputs and policies."""
    _check_policies(view, report)
    _check_times(view, report)
    for message in model_problems(view, schemas, repo):
        report.add(view, message)
    _check_shadows(view, schemas, report, repo)
    _check_log(view, report)
    _check_inputs(view, schemas, report)
    _check_where(view, report)
    _check_attachment(view, schemas, report)
    if not view.outputs:
        report.add(
            view, "has no outputs; name what the model gives, such as outputs=[Field(name='score', dtype=Float64)]"
        )
    check_features(view, [item.name for item in view.outputs], report)
    check_expectations(view, schemas, report)


def _check_policies(view: PredictionView, report: Report) -> None:
    if view.on_stale not in _ON_STALE:
        report.add(view, choices("on_stale", view.on_stale, _ON_STALE))
    if view.on_failure not in _ON_FAILURE:
        report.add(view, choices("on_failure", view.on_failure, _ON_FAILURE))
    refresh = [view.refresh] if isinstance(view.refresh, str) else view.refresh
    for value in refresh:
        if value not in _REFRESH:
            report.add(view, choices("refresh", value, _REFRESH))
    for value in sorted(view.stale_on):
        if value not in _STALE_ON:
            report.add(view, choices("stale_on", value, _STALE_ON))


def _check_times(view: PredictionView, report: Report) -> None:
    step = check_schedule(view, view.schedule, report)
    for option in ("max_age", "freshness", "refresh_ahead"):
        check_duration(view, option, getattr(view, option), report, positive=True)
    for option in ("input_grace", "data_delay"):
        check_duration(view, option, getattr(view, option), report)
    if view.schedule is not None and view.start is None:
        report.add(view, "has a schedule and no start; give the time from which steps are scored")
    if view.refresh_ahead is not None and (view.max_age is None or view.refresh_ahead >= view.max_age):
        found = "no max_age" if view.max_age is None else f"max_age={show_duration(view.max_age)}"
        report.add(
            view,
            f"refresh_ahead={show_duration(view.refresh_ahead)} with {found}: it is how long before max_age a "
            "prediction is made anew; give a shorter one, or a longer max_age",
        )
    if step is not None and view.max_age is not None and view.max_age < step:
        report.warn(
            view,
            f"max_age={show_duration(view.max_age)} is shorter than the schedule's step of {show_duration(step)}: "
            "predictions go stale before the next step scores them anew",
        )


def _check_shadows(view: PredictionView, schemas: Schemas, report: Report, repo: Path) -> None:
    seen = {(view.model.name, view.model.version)}
    for model in view.shadow:
        if (model.name, model.version) in seen:
            report.add(
                view, f"shadow: model {model.name!r} version {model.version!r} is there twice; give each its own"
            )
        seen.add((model.name, model.version))
        for message in model_problems(replace(view, model=model), schemas, repo):
            report.add(view, f"shadow: {message}")
    if not 0 < view.shadow_fraction <= 1:
        report.add(view, f"shadow_fraction={view.shadow_fraction} is not valid; give a share of lookups, up to 1")


def _check_log(view: PredictionView, report: Report) -> None:
    names = [key.name for key in join_keys_of(view.entities)]
    names += [item.name for item in (*(view.request.schema if view.request else ()), *view.outputs)]
    for name in names:
        if name in SERVED_COLUMNS:
            report.add(view, f"{name!r} is the name of a column of the log of served predictions; rename it")


def _check_where(view: PredictionView, report: Report) -> None:
    if view.where is None:
        return
    if not view.where.strip():
        report.add(view, "where= is empty; leave it out, or write an SQL predicate such as 'number_of_clicks > 0'")
    if view.schedule is None:
        report.add(view, "has where= and no schedule: it chooses the entities of batch scoring; leave it out")


def _check_inputs(view: PredictionView, schemas: Schemas, report: Report) -> None:
    selections = selections_of(view)
    if not selections and view.request is None and not view.entities:
        report.add(view, "has no entities, features or request; a model needs at least one of them")
    if view.schedule is not None and not view.entities:
        report.add(view, "has a schedule and no entities to score; leave schedule out, or name entities")
    keys = {key.name for key in join_keys_of(view.entities)}
    keys |= {item.name for item in view.request.schema} if view.request else set()
    for selection in selections:
        source = selection.view
        if isinstance(source, PredictionView):
            report.add(
                view,
                f"reads prediction view {source.name!r}; predictions of predictions are not available in this release",
            )
            continue
        check_selection(selection, view, schemas, report)
        if isinstance(source, OnDemandFeatureView):
            continue
        for key in join_keys_of(source.entities):
            carrier = selection.join_key_map.get(key.name, key.name)
            if carrier not in keys:
                report.add(
                    view,
                    f"reads view {source.name!r} by join key {carrier!r}, which is none of its own: "
                    f"{', '.join(sorted(keys)) or 'none'}; "
                    "add the entity, or map the key by with_join_key_map(...)",
                )


def _check_attachment(view: PredictionView, schemas: Schemas, report: Report) -> None:
    target = view.attach_to
    if target is None:
        return
    if len(view.outputs) != 1:
        report.add(view, f"attach_to={target.name!r} mounts one output as a feature; found {len(view.outputs)} outputs")
    if join_keys_of(target.entities) != join_keys_of(view.entities):
        own, other = ([key.name for key in join_keys_of(item.entities)] for item in (view, target))
        report.add(
            view,
            f"attach_to={target.name!r} has join keys {', '.join(other)} and the prediction {', '.join(own)}; "
            "they must be the same",
        )
    if any(item.name == view.name for item in schemas.features(target) or ()):
        report.add(view, f"attach_to={target.name!r} has a feature called {view.name!r} already; rename one of them")
