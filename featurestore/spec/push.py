"""Where a push goes."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["PushMode"]


class PushMode(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    ONLINE_AND_OFFLINE = "online_and_offline"
