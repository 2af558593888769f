"""The jobs behind ``jobs/*.py``: arguments in, one result line and an exit code out."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from featurestore.errors import ExitCode, FeatureStoreError, SettingsError
from featurestore.intervals import Interval, parse_instant, show_instant
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.plan.stages import ComputeStage, PublishStage, RepairStage, ScoreStage, Stage
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.execute import execute
from featurestore.runtime.request import WorkOptions, plan_request, run_publication, step_costs
from featurestore.runtime.results import JobResult, ViewResult, describe_error
from featurestore.runtime.upkeep import upkeep_views
from featurestore.settings import load_settings

__all__ = ["materialize_job", "optimize_job", "predict_job", "publish_job", "run_job"]

logger = logging.getLogger(__name__)

Job = Callable[[RuntimeContext, argparse.Namespace], JobResult]


def materialize_job(context: RuntimeContext, options: argparse.Namespace) -> JobResult:
    """Compute and commit the steps of feature views in ``[start, end)``; publish them when asked to.

    What changed late in their inputs is repaired first, as far back as ``late_data``.
    """
    views = _chosen(context, options.view, ViewNode)
    stages = _stages(context, views, options)
    kinds: tuple[type[Stage], ...] = (RepairStage, ComputeStage, *([PublishStage] if options.publish else []))
    return execute(
        context,
        [s for s in stages if isinstance(s, kinds)],
        views=views,
        progress=_log_progress,
        costs=step_costs(context, views),
        parallel=options.parallel,
    )


def predict_job(context: RuntimeContext, options: argparse.Namespace) -> JobResult:
    """Score and commit the steps of prediction views in ``[start, end)``, for entities whose inputs changed."""
    views = _chosen(context, options.view, PredictionViewNode)
    stages = _stages(context, views, options)
    return execute(context, [s for s in stages if isinstance(s, ScoreStage)], views=views, progress=_log_progress)


def publish_job(context: RuntimeContext, options: argparse.Namespace) -> JobResult:
    """Send what changed of each view to the online store, features before predictions."""
    return run_publication(context, options.view or None, progress=_log_progress)


def optimize_job(context: RuntimeContext, options: argparse.Namespace) -> JobResult:
    """Merge small files of each view's tables, delete obsolete ones, and renew properties of older releases."""
    return upkeep_views(context, options.view or None, dry_run=options.dry_run, progress=_log_progress)


def run_job(job: Job, argv: Sequence[str], *, emit: Callable[[str], object]) -> int:
    """Run a job for an entry file: emit its result line, give its exit code. Errors become results too."""
    options = _parser(job).parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("featurestore").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _end)
    try:
        context = RuntimeContext(load_settings(options.repo))
        try:
            result = job(context, options)
        finally:
            context.close()
    except FeatureStoreError as error:
        logger.error("%s", error)
        result = _failed(options.view, error.exit_code, error)
    except Exception as error:  # the entry point: whatever it was, the caller gets a result line and an exit code
        logger.exception("the job failed")
        result = _failed(options.view, ExitCode.FAILED, error)
    emit(result.to_line())
    return int(result.exit_code)


def _failed(views: Sequence[str], outcome: ExitCode, error: Exception) -> JobResult:
    return JobResult(
        views=tuple(ViewResult(view=n, outcome=outcome, error=describe_error(error)) for n in views or ["*"])
    )


def _end(number: int, frame: object) -> None:
    """End as after an error, so that claims are given back."""
    raise SystemExit(128 + number)


def _stages(context: RuntimeContext, views: Sequence[str], options: argparse.Namespace) -> tuple[Stage, ...]:
    if options.start > options.end:
        raise SettingsError(f"--start {show_instant(options.start)} is after --end {show_instant(options.end)}")
    bounds = Interval(options.start, options.end)
    work = WorkOptions(
        repair=options.repair,
        everything=getattr(options, "all", False),
        steps_per_run=getattr(options, "steps_per_run", None),
        parallel=getattr(options, "parallel", 1),
    )
    return plan_request(context, views, bounds, work)


def _chosen(context: RuntimeContext, names: Iterable[str], kind: type[StoredViewNode]) -> list[str]:
    """Give the named views, or all of the kind, in dependency order."""
    wanted = set(names)
    for name in wanted:
        if not isinstance(context.manifest.stored_view(name), kind):
            other = "predict" if kind is ViewNode else "materialize"
            raise SettingsError(f"view {name!r} is not computed by this job; use jobs/{other}.py for it", view=name)
    return [
        view.name
        for view in context.manifest.stored_views()
        if isinstance(view, kind) and (view.name in wanted or not wanted)
    ]


def _log_progress(number: int, total: int, text: str) -> None:
    logger.info("[%d/%d] %s", number, total, text)


def _parser(job: Job) -> argparse.ArgumentParser:
    assert job.__doc__ is not None
    parser = argparse.ArgumentParser(description=job.__doc__, epilog=f"Exit codes: {_exit_codes()}.")
    parser.add_argument("--repo", type=Path, default=Path(), help="the project's folder (default: here)")
    parser.add_argument("--view", action="append", default=[], help="a view; may be given again (default: all)")
    if job is optimize_job:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why; do nothing")
    if job in (publish_job, optimize_job):
        return parser
    parser.add_argument("--start", type=parse_instant, required=True, help="ISO 8601, inclusive")
    parser.add_argument("--end", type=parse_instant, required=True, help="ISO 8601, exclusive")
    parser.add_argument("--repair", action="store_true", help="compute done steps again, from today's inputs")
    if job is materialize_job:
        parser.add_argument("--publish", action="store_true", help="publish each view when its steps are done")
        parser.add_argument("--parallel", type=int, default=1, help="runs of a view that are computed at once")
        parser.add_argument("--steps-per-run", type=int, help="steps that a run computes (default: by earlier runs)")
    if job is predict_job:
        parser.add_argument(
            "--all", action="store_true", help="predict for all entities, not only where inputs changed"
        )
    return parser


def _exit_codes() -> str:
    return ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
