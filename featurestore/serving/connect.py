"""An ``OnlineClient`` for a project's settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from featurestore.intervals import utc_now
from featurestore.ir.nodes import CodeRef
from featurestore.serving.client import OnlineClient
from featurestore.settings import Settings
from featurestore.stores.online import connect_online

__all__ = ["connect_client"]


def connect_client(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> OnlineClient:
    """Open the online store that the settings name; definitions come from there too.

    On-demand functions and models run from the repo, after their code was found to be what was applied.
    """
    return OnlineClient(
        connect_online(settings),
        settings.project,
        clock=clock,
        deadline=settings.deadline,
        code_path=settings.repo,
        check_code=_checked_once(settings.repo),
    )


def _checked_once(repo: Path) -> Callable[[CodeRef], None]:
    """Make the check of one function's code, which is done once for each function and version."""

    @functools.cache
    def check(code: CodeRef) -> None:
        from featurestore.compile.code import verify_code

        verify_code(code, repo)

    return check
