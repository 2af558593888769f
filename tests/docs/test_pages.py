"""Pages point at things that exist, and messages that they explain are messages of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_snippets import PAGES, ROOT
from tests.support.markdown import heading_anchors, links

ALL_PAGES = [*PAGES, *sorted((ROOT / "docs" / "adr").glob("*.md")), ROOT / "CHANGELOG.md"]
FOLDERS = "featurestore|definitions|examples|jobs|dags|spark_conf|tests|docs|scripts"
NAMED_PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
MESSAGE = re.compile(r"^### `(.+)`$", re.MULTILINE)


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in heading_anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_paths_exist(page: Path) -> None:
    named = set(NAMED_PATH.findall(page.read_text(encoding="utf-8")))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_package_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "featurestore").glob("*/__init__.py")]
    assert [name for name in packages if f"{name}/" not in text] == []


def test_explained_messages_are_messages_of_the_code() -> None:
    known = "\n".join(_constants())
    headings = MESSAGE.findall((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
    pieces = [piece.strip() for heading in headings for piece in heading.split("…") if piece.strip()]
    assert headings
    assert [piece for piece in pieces if piece not in known] == []


def _constants() -> Iterator[str]:
    """Give every string of the package, with what stands between the fields of formatted ones."""
    for folder in ("featurestore", "definitions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    for script in (ROOT / "scripts").iterdir():
        yield script.read_text(encoding="utf-8")
