"""Some tests load definitions folders of other projects, all named ``definitions``: none stays loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(autouse=True)
def other_projects_are_forgotten() -> Iterator[None]:
    """Give later tests the modules and the import path that stood before."""
    path, before = list(sys.path), _definitions()
    yield
    sys.path[:] = path
    for name in _definitions():
        del sys.modules[name]
    sys.modules.update(before)


def _definitions() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "definitions"}
