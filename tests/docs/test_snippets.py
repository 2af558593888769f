"""What the pages show is run: definitions, lookups with their output, and commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from featurestore import FeatureStore
from tests.support.guide import FIRST_DAY, GuideProject
from tests.support.markdown import Block, read_blocks
from tests.support.page_runner import run_python

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RUNNABLE = {"python", "pycon"}
LANGUAGES = RUNNABLE | {"console", "yaml", "sql", "json", "text", ""}
"""Pages show other things as ``text``: what has one of the first three is checked."""


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in read_blocks(page) if block.language in languages]


def test_every_block_says_what_it_is() -> None:
    assert [str(b) for page in PAGES for b in read_blocks(page) if b.language not in LANGUAGES] == []


@pytest.mark.redis
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_snippets_run_in_the_shop(page: Path, shop: GuideProject) -> None:
    run_page(page, shop)


@pytest.mark.redis
def test_snippets_run_in_the_flights_example(flights: GuideProject) -> None:
    run_page(ROOT / "README.md", flights)


def run_page(page: Path, project: GuideProject) -> None:
    """Run a page's snippets in a process of their own, whose ``definitions`` are the project's."""
    if not any(block.language in RUNNABLE | {"console"} for block in read_blocks(page)):
        return
    project.redis.start()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.page_runner", str(page)],
        cwd=project.root,
        env={"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT), "HOME": str(project.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.spark
@pytest.mark.redis
def test_training_set_snippets_run(shop: GuideProject, spark: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root)
    shop.land_clicks(FIRST_DAY, days=1)
    with FeatureStore(".", spark=spark) as store:
        store.materialize(FIRST_DAY, FIRST_DAY.replace(day=2), ["user_data"])
        monkeypatch.setattr("featurestore.FeatureStore", lambda path: store, raising=False)
        namespace: dict[str, object] = {}
        page = read_blocks(ROOT / "docs" / "lookups.md")
        for number, block in enumerate(page):
            if "spark" in block.marks:
                run_python(page[number - 1], namespace)
                run_python(block, namespace)
        assert namespace["rows"].click_through_rate.tolist() == [1.0, 1.0, 0.0]  # type: ignore[attr-defined]
