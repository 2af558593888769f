"""What a ``FeatureStore`` computes: the missing steps of views in a range, up to an instant, or of one view's past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from featurestore.intervals import EPOCH
from featurestore.store_parts import StoreParts

if TYPE_CHECKING:
    from featurestore.runtime.pace import Progress
    from featurestore.runtime.results import JobResult

__all__ = ["StoreRuns"]


class StoreRuns(StoreParts):
    """Computes and publishes; ``progress`` is told each run and how far the job is."""

    def materialize(
        self,
        start: datetime,
        end: datetime,
        feature_views: Sequence[str] | None = None,
        *,
        repair: bool = False,
        predict_all: bool = False,
        progress: Progress | None = None,
    ) -> JobResult:
        """Compute and publish the whole steps in ``[start, end)`` not done (``repair``, ``predict_all``: anew, all)."""
        from featurestore.runtime.request import WorkOptions, bounds_of, run_request

        bounds = bounds_of(start, end)
        options = WorkOptions(repair=repair, everything=predict_all)
        return run_request(self.runtime, feature_views, bounds, options, progress=progress)

    def materialize_incremental(
        self, end: datetime, feature_views: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> JobResult:
        """Compute and publish all missing steps up to ``end``, from each view's start."""
        from featurestore.runtime.request import bounds_of, run_request

        return run_request(self.runtime, feature_views, bounds_of(EPOCH, end), progress=progress)

    def ensure(
        self, feature_view: str, until: datetime | None = None, *, progress: Progress | None = None
    ) -> JobResult:
        """Compute and publish the missing steps up to ``until`` (now) of a view and of the views it reads."""
        from featurestore.runtime.request import bounds_of, run_request

        bounds = bounds_of(EPOCH, until or self.clock())
        return run_request(self.runtime, [feature_view], bounds, parents=True, progress=progress)

    def backfill(
        self,
        feature_view: str,
        start: datetime,
        end: datetime,
        *,
        parallel: int = 1,
        steps_per_run: int | None = None,
        progress: Progress | None = None,
    ) -> JobResult:
        """Compute and publish one view's missing steps inside ``[start, end)``; resumes where it stopped.

        ``parallel`` runs are computed at once, each of ``steps_per_run`` steps (None: by what they took before).
        """
        from featurestore.runtime.request import WorkOptions, bounds_of, run_request

        options = WorkOptions(parallel=parallel, steps_per_run=steps_per_run)
        return run_request(self.runtime, [feature_view], bounds_of(start, end), options, progress=progress)

    def repair(
        self, view: str, start: datetime | None = None, end: datetime | None = None, *, progress: Progress | None = None
    ) -> JobResult:
        """Compute again what changed inputs touched, however old; with a bound, all covered steps inside."""
        from featurestore.runtime.request import run_repair

        return run_repair(self.runtime, view, start, end, progress=progress)
