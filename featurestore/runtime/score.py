"""One step of a prediction view: the model over features that changed in it, under the run protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurestore.engines.base import ComputedStep
from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.scoring import ScoreRequest, score
from featurestore.intervals import Interval
from featurestore.plan.stages import ScoreStage
from featurestore.runtime.code import code_of, ship_archive, ship_code
from featurestore.runtime.compute import pinned_parents, refuse_unready
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.results import IntervalResult
from featurestore.runtime.run import run_interval
from featurestore.stores.base import Claim

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["score_interval"]


def score_interval(context: RuntimeContext, stage: ScoreStage) -> IntervalResult:
    """Score, check and commit one step; InputNotReady says what it waits for."""
    manifest = context.manifest
    view = manifest.prediction_views[stage.view]
    refuse_unready(context, view, [stage.interval])
    ship_code(context, code_of(view, manifest))
    archive = ship_archive(context)
    parents = [manifest.stored_view(name) for name in manifest.parents(view)]
    inputs: dict[str, Any] = {"sources": {}, "views": pinned_parents(context, view)}

    def compute(claim: Claim) -> ComputedStep[DataFrame]:
        counts, end = PassCounts(), stage.interval.end
        is_compared = not (stage.first or stage.everything) and context.offline.exists(view)
        request = ScoreRequest(
            view=view,
            manifest=manifest,
            step_end=end,
            created=claim.created,
            tables={parent.name: context.offline.rows(parent) for parent in parents},
            coverage={parent.name: context.ledger.coverage(parent.name, parent.version) for parent in parents},
            since=stage.interval.start,
            predictions=context.offline.rows(view) if is_compared else None,
            archive=archive,
        )
        rows = score(request, counts)
        return ComputedStep(rows=rows, raw=None, event_range=Interval(end, end + end.resolution), metrics=counts.read)

    return run_interval(context, view, stage.interval, inputs=inputs, compute=compute, repair=stage.repair)
