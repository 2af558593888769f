"""Commits of tile tables as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from featurestore.errors import StateError
from featurestore.plan.tile_coverage import Layer, TileCommit
from featurestore.plan.tile_ranges import TileRange, Total
from featurestore.stores.tile_json import tile_commit_from_json, tile_commit_to_json

RANGES = (TileRange(size=5, start=-10, end=0), TileRange(size=40, start=0, end=80))
COMMIT = TileCommit(
    build="b",
    seen=3,
    pin={"digest": "d", "files": [["a", 1, 2]]},
    changed=((1, 2),),
    layers=(
        Layer(columns=frozenset({"x", "y"}), ranges=RANGES),
        Layer(columns=frozenset({"z"}), ranges=(), totals=(Total(window=40, end=80), Total(window=None, end=80))),
    ),
    version=4,
)


@pytest.mark.parametrize("changed", [None, (), ((1, 2), (5, 9))])
def test_a_commit_is_read_as_it_was_written(changed: tuple[tuple[int, int], ...] | None) -> None:
    commit = replace(COMMIT, changed=changed)
    assert tile_commit_from_json(tile_commit_to_json(commit), version=4) == commit


def test_commits_of_releases_without_totals_are_read() -> None:
    text = tile_commit_to_json(replace(COMMIT, layers=COMMIT.layers[:1])).replace(',"totals":[]', "")
    assert "totals" not in text
    assert tile_commit_from_json(text, version=4) == replace(COMMIT, layers=COMMIT.layers[:1])


@pytest.mark.parametrize("text", [None, "", "no json", "[]", '{"run_id": "r"}'])
def test_other_commits_are_none_of_these(text: str | None) -> None:
    assert tile_commit_from_json(text, version=1) is None


def test_another_format_is_refused() -> None:
    with pytest.raises(StateError, match="format 2; this release reads format 1"):
        tile_commit_from_json('{"tiles": 2}', version=7)
