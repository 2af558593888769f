"""The reports on predictions that a store offers: HTML pages, with their content as JSON beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from featurestore.runtime.compare import compare_versions
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.monitor import compare_shadow, monitor_view

__all__ = ["PredictionReports"]


@dataclass(frozen=True, slots=True)
class PredictionReports:
    """Reports of one project; each gives the path of its page, which ``path`` chooses."""

    context: RuntimeContext

    def compare(
        self,
        view: str,
        versions: tuple[int, int],
        *,
        at: datetime | None = None,
        rows: int = 100_000,
        path: Path | None = None,
    ) -> Path:
        """Compare the predictions of two versions of a view: distribution, agreement, latency of the models.

        ``at`` defaults to the latest instant that both were scored for; of more than ``rows`` entities a sample counts.
        """
        return compare_versions(self.context, view, versions, at=at, rows=rows, path=path)

    def compare_shadow(
        self,
        view: str,
        version: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        path: Path | None = None,
    ) -> Path:
        """Compare a shadow model with what was served, from the log of served predictions."""
        return compare_shadow(self.context, view, version, start=start, end=end, path=path)

    def monitor(
        self,
        view: str,
        *,
        labels: str | Path | None = None,
        label: str = "label",
        training: str | Path | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        within: timedelta | None = None,
        path: Path | None = None,
    ) -> Path:
        """Report on served predictions: calibration against ``labels``, drift against ``training``.

        ``labels`` has the view's keys, ``event_timestamp`` and the column ``label``; each counts for the prediction
        that was served last before it, at most ``within`` earlier.
        """
        return monitor_view(
            self.context,
            view,
            labels=labels,
            label=label,
            training=training,
            start=start,
            end=end,
            within=within,
            path=path,
        )
