"""A function's digest changes with the code it reaches, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.compile import verify_code, write_archive
from featurestore.compile.code import code_digest, code_ref
from featurestore.errors import StateError

FEATURES = '''"""Views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from definitions import rates
from definitions.scale import SCALE, unused
from featurestore import batch_feature_view

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TTL = 3


def rounded(value):
    return round(value * SCALE)


@batch_feature_view(entities=[], sources=[], schema=[], ttl=TTL)
def flags(clicks: DataFrame):
    """Flag."""
    return rounded(math.floor(clicks) + rates.BASE)


def other():
    return 1
'''
SCALE = "SCALE = 2\nunused = 3\n"
RATES = "from definitions.deep import depth\nBASE = depth()\n"
DEEP = "def depth():\n    return 4\n"
PATH = "definitions.features:flags"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    folder.mkdir()
    for name, text in {"features": FEATURES, "scale": SCALE, "rates": RATES, "deep": DEEP}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


def edited(repo: Path, module: str, old: str, new: str) -> bool:
    """Edit a module; say whether the digest of ``flags`` changed."""
    before = code_digest(repo, PATH)
    path = repo / "definitions" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return code_digest(repo, PATH) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("features", "rounded(math", "abs(math"),
        ("features", "math.floor", "math.ceil"),
        ("features", "round(value", "int(value"),
        ("features", "import math", "import cmath as math"),
        ("features", "def other():", "def rounded(value):"),
        ("features", "TTL = 3", "print(TTL := 3)"),
        ("scale", "SCALE = 2", "SCALE = 5"),
        ("scale", "unused = 3", "unused = 3\nif unused:\n    SCALE = 9"),
        ("rates", "BASE = depth()", "BASE = depth() + 1"),
        ("deep", "return 4", "return 5"),
    ],
)
def test_what_the_function_reaches_counts(repo: Path, module: str, old: str, new: str) -> None:
    assert edited(repo, module, old, new)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("features", '"""Flag."""', '"""Say otherwise."""'),
        ("features", '    """Flag."""\n', ""),
        ("features", "    return 1", "    return 2"),
        ("features", "ttl=TTL", "ttl=TTL, owner='me'"),
        ("features", "TTL = 3", "TTL = 4  # days"),
        ("features", "value * SCALE)", "value*SCALE)  # scaled"),
        ("features", "import DataFrame", "import DataFrame, Row"),
        ("features", "SCALE, unused", "(\n    SCALE,\n    unused,\n)"),
        ("scale", "unused = 3", "unused = 4"),
        ("deep", "def depth", "# how deep\n\n\ndef depth"),
    ],
)
def test_comments_docstrings_layout_and_other_code_do_not_count(repo: Path, module: str, old: str, new: str) -> None:
    assert not edited(repo, module, old, new)


def test_dynamic_names_reach_the_whole_module(repo: Path) -> None:
    assert edited(repo, "features", "rounded(math", "globals()['rounded'](math")
    assert edited(repo, "features", "    return 1", "    return 2")


def test_changed_code_is_refused_by_name(repo: Path) -> None:
    reference = code_ref(repo, PATH)
    verify_code(reference, repo)
    edited(repo, "deep", "return 4", "return 5")
    with pytest.raises(StateError, match=r"the code of definitions.features:flags is not the code that was applied"):
        verify_code(reference, repo)


def test_the_archive_holds_the_code_that_was_applied(repo: Path, tmp_path: Path) -> None:
    reference = code_ref(repo, PATH)
    _, archive = write_archive(repo, "definitions", tmp_path / "code")
    verify_code(reference, archive)


def test_archives_of_equal_code_are_equal(repo: Path, tmp_path: Path) -> None:
    (repo / "definitions" / "models").mkdir()
    (repo / "definitions" / "models" / "ctr.bin").write_bytes(b"weights")
    first, path = write_archive(repo, "definitions", tmp_path / "one")
    second, other = write_archive(repo, "definitions", tmp_path / "two")
    assert (first, path.read_bytes()) == (second, other.read_bytes())
    assert path.name == f"{first}.zip"
    (repo / "definitions" / "models" / "ctr.bin").write_bytes(b"others")
    assert write_archive(repo, "definitions", tmp_path / "one")[0] != first
