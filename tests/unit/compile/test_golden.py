"""The manifest of the worked example, as a file.

``UPDATE_GOLDEN=1 pytest tests/unit/compile/test_golden.py`` rewrites it.
"""

from __future__ import annotations

import os
from pathlib import Path

from featurestore.compile import compile_definitions, load_definitions
from featurestore.ir.nodes import DeltaSourceNode, FieldNode, FileSourceNode
from featurestore.ir.serialize import manifest_from_json, manifest_to_json
from featurestore.types import Float64, Int64, Timestamp

GOLDEN = Path(__file__).parents[2] / "golden"
REPO = GOLDEN / "user_data_repo"
FILE = GOLDEN / "manifest_user_data.json"


def clicks_columns(source: FileSourceNode | DeltaSourceNode) -> tuple[FieldNode, ...]:
    assert source.name == "clicks"
    return (
        FieldNode(name="user_id", dtype=Int64),
        FieldNode(name="event_timestamp", dtype=Timestamp),
        FieldNode(name="clicked", dtype=Int64),
        FieldNode(name="page_seconds", dtype=Float64),
    )


def test_the_worked_example_compiles_to_the_golden_manifest() -> None:
    loaded = load_definitions(REPO, "definitions")
    result = compile_definitions(loaded, project="demo", repo=REPO, schema_of=clicks_columns)
    text = manifest_to_json(result.manifest)
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(text, encoding="utf-8")
    assert text == FILE.read_text(encoding="utf-8")
    assert manifest_from_json(text) == result.manifest
    assert result.warnings == ()
