"""The examples themselves: ``definitions`` is this repository's, whatever project another test has loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="session")
def own_definitions() -> None:
    """Forget another project's ``definitions``, and find this repository's first."""
    loaded = sys.modules.get("definitions")
    if loaded is not None and Path(str(loaded.__file__)).parents[1] != ROOT:
        for name in [name for name in sys.modules if name.partition(".")[0] == "definitions"]:
            del sys.modules[name]
    sys.path.insert(0, str(ROOT))
