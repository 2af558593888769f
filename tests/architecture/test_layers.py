"""The import contracts of ``pyproject.toml`` hold, and each contract has something to hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "featurestore"


def test_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_one_file_imports_airflow() -> None:
    importers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if "airflow" in _imported_packages(path)
    ]
    assert importers == ["featurestore/orchestration/airflow.py"]


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(_reads_environment(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    assert readers == ["featurestore/settings.py"]


@pytest.mark.parametrize("folder", ["jobs", "dags"])
def test_entry_files_are_thin(folder: str) -> None:
    bound = {"jobs": 30, "dags": 15}[folder]
    files = sorted((ROOT / folder).glob("*.py"))
    assert files
    assert {path.name: n for path in files if (n := len(path.read_text(encoding="utf-8").splitlines())) > bound} == {}


def _imported_packages(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def _reads_environment(node: ast.AST) -> bool:
    """Say whether a node reads ``os.environ`` or calls ``os.getenv``; writing it for a child is not reading."""
    if isinstance(node, ast.Subscript | ast.Call):
        target = node.func if isinstance(node, ast.Call) else node.value
        text = ast.unparse(target)
        if isinstance(node, ast.Subscript):
            return text == "os.environ" and isinstance(node.ctx, ast.Load)
        return text in {"os.getenv", "os.environ.get"}
    return False
