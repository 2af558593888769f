"""An ``OnlineClient`` for a project's settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from featurestore.intervals import utc_now
from featurestore.serving.client import OnlineClient
from featurestore.settings import Settings
from featurestore.stores.online import connect_online

__all__ = ["connect_client"]


def connect_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> OnlineClient:
    """Open the online store that the settings name; definitions come from there too."""
    return OnlineClient(
        connect_online(settings), settings.project, clock=clock, deadline=settings.deadline, code_path=settings.repo
    )
