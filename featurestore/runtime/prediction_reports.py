"""The reports on predictions that a store offers: HTML pages, with their content as JSON beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from featurestore.runtime.compare import compare_versions
from featurestore.runtime.context import RuntimeContext

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
