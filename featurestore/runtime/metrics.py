"""Counters of publications through the OpenTelemetry API (docs/observability.md), where it is installed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from featurestore.runtime.results import PublicationResult

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

__all__ = ["PublicationMetrics", "publication_metrics"]


class PublicationMetrics:
    """What publications sent, by view. ``meter`` None is the global provider's."""

    def __init__(self, meter: Meter | None = None) -> None:
        from opentelemetry.metrics import get_meter

        made = meter or get_meter("featurestore")
        self._rows = made.create_counter("featurestore.publication.rows", "{row}", "rows sent, by view and result")
        self._bytes = made.create_counter("featurestore.publication.bytes", "By", "bytes of keys and values sent")
        self._checked = made.create_counter("featurestore.publication.checked", "{row}", "rows read back and compared")
        self._seconds = made.create_histogram("featurestore.publication.duration", "s", "a publication that sent rows")

    def record(self, view: str, result: PublicationResult, seconds: float) -> None:
        """Count one publication that is complete."""
        of_view = {"view": view}
        self._rows.add(result.sent - result.ignored, {**of_view, "result": "written"})
        self._rows.add(result.ignored, {**of_view, "result": "ignored"})
        self._bytes.add(result.bytes_sent, of_view)
        self._checked.add(result.checked, of_view)
        self._seconds.record(seconds, of_view)


@cache
def publication_metrics() -> PublicationMetrics | None:
    """Give this process' metrics; None where the OpenTelemetry API is not installed."""
    try:
        return PublicationMetrics()
    except ModuleNotFoundError:
        return None
