"""What one request does, step by step, as inert values: the runtime executes them, ``explain`` prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from featurestore.intervals import Coverage, Interval
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.plan.chunks import Part, join_parts
from featurestore.plan.missing import missing_steps, step_parts

__all__ = ["ComputeStage", "PublishStage", "RepairStage", "ScoreStage", "Stage", "build_stages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairStage:
    """Compute the covered steps of a feature view again that changed inputs touch, for the touched keys.

    As far back as the view's ``late_data``; with ``everything`` however old the changes are.
    """

    view: str
    everything: bool = False

    def __str__(self) -> str:
        return f"repair {self.view}{'' if self.everything else ' within late_data'}, if its inputs changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeStage:
    """Compute ``steps`` steps of a feature view that follow each other, in one run.

    ``first`` says that the step before is neither covered nor computed earlier in the same list, so every non-empty
    key gets a row; ``repair`` that the steps are covered and are computed again.
    """

    view: str
    interval: Interval
    first: bool
    repair: bool = False
    steps: int = 1

    def __str__(self) -> str:
        many = f" ({self.steps} steps)" if self.steps > 1 else ""
        return f"{'recompute' if self.repair else 'compute'} {self.view} {self.interval}{many}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStage:
    """Score the entities of a prediction view at the end of one step: those whose inputs changed in it.

    At the ``first`` step of a covered stretch there is nothing to compare with, so all are scored; with ``everything``
    all are in any step.
    """

    view: str
    interval: Interval
    first: bool
    repair: bool = False
    everything: bool = False

    @property
    def steps(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"{'rescore' if self.repair else 'score'} {self.view} {self.interval}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishStage:
    """Send the rows of a view that Redis lacks."""

    view: str

    def __str__(self) -> str:
        return f"publish {self.view}"


Stage: TypeAlias = RepairStage | ComputeStage | ScoreStage | PublishStage


def build_stages(
    manifest: Manifest,
    views: Iterable[str],
    bounds: Interval,
    coverages: Mapping[str, Coverage],
    *,
    repair: bool = False,
    everything: bool = False,
    steps_per_run: Mapping[str, int] | None = None,
) -> tuple[Stage, ...]:
    """Order the work of the named views inside ``bounds``: compute, score, publish features, publish predictions.

    Before its missing steps a view's covered ones are repaired, whatever the bounds: its rows are then of one state of
    the inputs. A view comes after those it reads, and its steps in order of time. A view named that has no missing
    steps is still published: an earlier run may have ended between its commit and its publication; of a view whose rows
    are all pushed there is nothing to compute. With ``repair``, steps that are covered are computed again; with
    ``everything`` all entities are scored, not only those whose inputs changed. A run computes up to ``steps_per_run``
    steps (by feature view; one where it is not given).
    """
    named = set(views)
    for name in sorted(named):
        manifest.stored_view(name)
    ordered = [view for view in manifest.stored_views() if view.name in named]
    features = [view for view in ordered if isinstance(view, ViewNode)]
    predictions = [view for view in ordered if isinstance(view, PredictionViewNode)]
    stages: list[Stage] = []
    for view in features:
        if manifest.is_push_fed(view):
            continue
        if coverages.get(view.name) and not repair:
            stages.append(RepairStage(view=view.name))
        most = (steps_per_run or {}).get(view.name, 1)
        stages += (
            ComputeStage(
                view=view.name, interval=run.interval, first=run.first, repair=run.covered, steps=max(run.steps, 1)
            )
            for run in join_parts(_ordered(view, coverages, bounds, repair), most)
        )
    for scored in predictions:
        stages += (
            ScoreStage(
                view=scored.name,
                interval=step.interval,
                first=step.first,
                repair=step.covered,
                everything=everything,
            )
            for step in _ordered(scored, coverages, bounds, repair)
        )
    stages += (PublishStage(view=view.name) for view in features if view.online)
    stages += (PublishStage(view=view.name) for view in predictions)
    return tuple(stages)


def _ordered(view: StoredViewNode, coverages: Mapping[str, Coverage], bounds: Interval, repair: bool) -> Iterator[Part]:
    """Give the steps to do in order; of a step that is covered in part, its parts."""
    coverage = coverages.get(view.name, Coverage())
    if repair:
        parts = step_parts(view, coverage, bounds)
    else:
        parts = tuple((step, False) for step in missing_steps(view, coverage, bounds))
    before = None
    for interval, is_covered in parts:
        follows = interval.start == before or any(s.start < interval.start <= s.end for s in coverage)
        is_whole = view.schedule is not None and tuple(view.schedule.steps(interval)) == (interval,)
        yield Part(interval=interval, first=not follows, covered=is_covered, steps=int(is_whole))
        before = interval.end
