"""An ``OnlineWriter`` for a project's settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from featurestore.ingest.refresh import Infer
from featurestore.ingest.writer import OnlineWriter
from featurestore.intervals import utc_now
from featurestore.serving.code import AppliedCode
from featurestore.settings import Settings
from featurestore.stores.online import connect_online

__all__ = ["connect_writer"]


def connect_writer(
    settings: Settings, *, clock: Callable[[], datetime] = utc_now, infer: Infer | None = None
) -> OnlineWriter:
    """Open the online store that the settings name; definitions come from there too. ``infer`` makes predictions."""
    return OnlineWriter(
        connect_online(settings),
        settings.project,
        clock=clock,
        max_future_skew=settings.max_future_skew,
        offline_root=settings.offline_root,
        infer=infer,
        code=AppliedCode(settings.project, settings.state_path / "code"),
    )
