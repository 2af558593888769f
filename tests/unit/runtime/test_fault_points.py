"""Each place where a test can kill the process is reached by the code, and killed at by a test."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import featurestore
from featurestore.runtime.faults import FaultPoint
from tests.faults.test_kill import FAULTS

REACHED = re.compile(r"\breach\(\s*FaultPoint\.(\w+)")
NAMED = re.compile(r"\bFaultPoint\.([A-Z_]+)")


def named(pattern: re.Pattern[str], folder: Path) -> Counter[str]:
    return Counter(name for path in sorted(folder.rglob("*.py")) for name in pattern.findall(path.read_text("utf-8")))


def test_a_point_is_one_place_of_the_code() -> None:
    folder = Path(featurestore.__file__).parent
    assert named(REACHED, folder) == Counter({point.name: 1 for point in FaultPoint})


def test_a_point_has_a_test_that_kills_there() -> None:
    """The points of a step in ``test_kill.py``; one that a step does not reach in another module of that folder."""
    of_a_step = {FaultPoint(fault.partition(":")[0]) for fault in FAULTS}
    others = named(NAMED, Path(__file__).parents[2] / "faults")
    assert [point for point in FaultPoint if point not in of_a_step and not others[point.name]] == []
