"""Lookup clients for a project's settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from featurestore.intervals import utc_now
from featurestore.models.files import ModelFiles
from featurestore.models.local import LocalModels
from featurestore.serving.client import OnlineClient
from featurestore.serving.code import AppliedCode
from featurestore.settings import Settings
from featurestore.stores.online import connect_online

__all__ = ["connect_client"]


def connect_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> OnlineClient:
    """Open the online store that the settings name; definitions come from there too.

    On-demand functions and models are those of the definitions that were applied, whatever the repo holds by now.
    """
    code = _applied_code(settings)
    return OnlineClient(
        connect_online(settings),
        settings.project,
        clock=clock,
        deadline=settings.deadline,
        code=code,
        predictor=LocalModels(code.resolve, files=ModelFiles(settings.repo, code.files)),
    )


def _applied_code(settings: Settings) -> AppliedCode:
    return AppliedCode(settings.project, settings.state_path / "code")
