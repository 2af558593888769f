"""Files stay readable, and have names that say what is in them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("featurestore", "definitions", "jobs", "dags", "tests", "benchmarks")
MOST_LINES = 300
VAGUE = {"utils", "helpers", "common", "misc", "tools", "base_utils"}


def _files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_files_are_at_most_300_lines() -> None:
    long = {p.relative_to(ROOT).as_posix(): n for p in _files() if (n := p.read_text().count("\n")) > MOST_LINES}
    assert long == {}


def test_the_facade_only_delegates() -> None:
    tree = ast.parse((ROOT / "featurestore" / "store.py").read_text())
    store = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    statements = {
        method.name: sum(not isinstance(node, ast.ImportFrom | ast.Expr) for node in method.body)
        for method in store.body
        if isinstance(method, ast.FunctionDef)
    }
    assert max(statements.values()) <= 5, statements


def test_no_file_has_a_vague_name() -> None:
    assert [path for path in _files() if path.stem in VAGUE] == []


def test_every_module_says_what_it_is_and_postpones_annotations() -> None:
    silent = []
    for path in _files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not tree.body:
            continue
        futures = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        only_docstring = len(tree.body) == 1
        if ast.get_docstring(tree) is None or not (futures or only_docstring):
            silent.append(path.relative_to(ROOT).as_posix())
    assert silent == []
