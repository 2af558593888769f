"""Named points between the lines of the run protocol, where a test can kill the process.

``FEATURESTORE_FAULT=committed`` ends the process by SIGKILL when it reaches that point; ``committed:2`` at the second
time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from enum import StrEnum

from featurestore.settings import environment

__all__ = ["FAULT_VARIABLE", "FaultPoint", "reach"]

FAULT_VARIABLE = "FEATURESTORE_FAULT"


class FaultPoint(StrEnum):
    """The boundaries of a repair, of a run, which may be a repair's, of a publication and of a table's upkeep."""

    COMPARED = "compared"
    CLAIMED = "claimed"
    TILED = "tiled"
    COMPUTED = "computed"
    GATED = "gated"
    COMMITTED = "committed"
    RECORDED = "recorded"
    CHECKED = "checked"
    SENDING = "sending"
    SENT = "sent"
    RECONCILED = "reconciled"
    POINTED = "pointed"
    MARKED = "marked"
    REMOVED = "removed"
    COMPACTED = "compacted"


_reached: Counter[FaultPoint] = Counter()


def reach(point: FaultPoint) -> None:
    """Die here when the environment asks for it."""
    wanted = environment(FAULT_VARIABLE)
    if wanted is None:
        return
    name, _, count = wanted.partition(":")
    _reached[point] += 1
    if name == point and _reached[point] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
