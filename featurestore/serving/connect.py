"""Lookup clients for a project's settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from featurestore.errors import ToolMissing
from featurestore.intervals import utc_now
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.serving.client import OnlineClient
from featurestore.serving.code import AppliedCode
from featurestore.serving.core import LookupObserver
from featurestore.settings import Settings
from featurestore.stores.online import connect_online

__all__ = ["connect_client", "lookup_observer"]


def connect_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> OnlineClient:
    """Open the online store that the settings name; definitions come from there too.

    On-demand functions and models are those of the definitions that were applied, whatever the repo holds by now.
    """
    code = _applied_code(settings)
    return OnlineClient(
        connect_online(settings, for_lookups=True),
        settings.project,
        clock=clock,
        deadline=settings.deadline,
        code=code,
        predictor=LocalModels(code.resolve, files=ModelFiles(settings.repo, code.files)),
        metrics=lookup_observer(settings),
    )


def _applied_code(settings: Settings) -> AppliedCode:
    return AppliedCode(settings.project, settings.state_path / "code")


def lookup_observer(settings: Settings) -> LookupObserver | None:
    """Give what ``lookup: {metrics: true}`` asks for: counters and histograms of the global meter provider."""
    if not settings.lookup_metrics:
        return None
    try:
        from featurestore.serving.metrics import LookupMetrics
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"lookup: {{metrics: true}} needs {error.name}, which is not installed; "
            "run: pip install 'featurestore[observability]'"
        ) from error
    return LookupMetrics()
