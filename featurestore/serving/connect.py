"""Lookup clients for a project's settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from featurestore.errors import ToolMissing
from featurestore.intervals import utc_now
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.serving.assembly import LookupOptions
from featurestore.serving.client import OnlineClient
from featurestore.serving.code import AppliedCode
from featurestore.serving.core import LookupObserver
from featurestore.serving.row_cache import CacheOptions
from featurestore.serving.served_log import ServedLog
from featurestore.settings import Settings
from featurestore.stores.online import OnlineAddress, connect_online

if TYPE_CHECKING:
    from featurestore.serving.aio import AsyncOnlineClient

__all__ = ["connect_async_client", "connect_client", "lookup_observer"]


def connect_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> OnlineClient:
    """Open the online store that the settings name; definitions come from there too.

    On-demand functions and models are those of the definitions that were applied, whatever the repo holds by now.
    """
    store = connect_online(settings, for_lookups=True)
    return OnlineClient(store, settings.project, deadline=settings.deadline, **_options(settings, clock))


def connect_async_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> AsyncOnlineClient:
    """Open the same for asyncio; connections of their own serve what inference writes, from threads."""
    from featurestore.serving.aio import AsyncOnlineClient

    reader, store = OnlineAddress.of(settings).connect_async(), connect_online(settings)
    return AsyncOnlineClient(reader, store, settings.project, deadline=settings.deadline, **_options(settings, clock))


def _options(settings: Settings, clock: Callable[[], datetime]) -> LookupOptions:
    code = AppliedCode(settings.project, settings.state_path / "code")
    return LookupOptions(
        clock=clock,
        code=code,
        predictor=LocalModels(code.resolve, files=ModelFiles(settings.repo, code.files)),
        metrics=lookup_observer(settings),
        cache=CacheOptions(max_age=settings.cached_age, max_rows=settings.cached_rows),
        log=_served_log(settings),
    )


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


def _served_log(settings: Settings) -> ServedLog | None:
    """Open the log of served predictions, if the settings want one."""
    if not settings.log_served:
        return None
    from featurestore.serving.served_files import ServedFiles

    return ServedLog(ServedFiles(settings.offline_root, settings.state_path / "served"))
