"""The shipped list of expectations is that of the installed Great Expectations, found without importing it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from featurestore.compile.expectation_names import EXPECTATION_NAMES

NOT_REGISTERED = {"expect_multicolumn_values_to_be_unique"}
"""Imported there, but unknown to the package's own registry."""


def test_the_list_is_that_of_the_installed_package() -> None:
    spec = importlib.util.find_spec("great_expectations")
    assert spec is not None
    assert spec.origin is not None
    core = Path(spec.origin).parent.joinpath("expectations", "core", "__init__.py")
    imports = [node for node in ast.parse(core.read_bytes()).body if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports} - NOT_REGISTERED == EXPECTATION_NAMES
