"""When a call ends, what is left of it, and how old its answer may be."""

from __future__ import annotations

import time
from datetime import timedelta

from featurestore.errors import DeadlineExceeded

__all__ = ["as_duration", "ends_after", "left_until"]


def ends_after(deadline: timedelta | float | None) -> float | None:
    """Give the monotonic time at which a call with this deadline (seconds or timedelta) ends."""
    if deadline is None:
        return None
    return time.monotonic() + (deadline.total_seconds() if isinstance(deadline, timedelta) else deadline)


def left_until(ends: float | None) -> float | None:
    """Give the seconds left; DeadlineExceeded when there are none."""
    if ends is None:
        return None
    left = ends - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the lookup's deadline passed before its rows were read; give it more time")
    return left


def as_duration(seconds: timedelta | float | None) -> timedelta | None:
    """Give seconds or a timedelta as a timedelta."""
    return timedelta(seconds=seconds) if isinstance(seconds, int | float) else seconds
