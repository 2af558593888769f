"""The benchmarks run, at a size that proves nothing else, and give what their table needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arena import SIZES, Arena
from benchmarks.figures import Figure, Goal, at_least, at_most, markdown
from benchmarks.rows import callers, lookups, memory, predictions, repairs, traffic

pytestmark = pytest.mark.redis


def test_all_that_needs_neither_spark_nor_a_rival_is_measured(tmp_path: Path) -> None:
    with Arena(tmp_path, SIZES["tiny"], with_feast=False, plots=tmp_path) as arena:
        figures = [
            figure
            for group in (lookups, predictions, callers, memory, repairs, traffic)
            for figure in group.measure(arena)
        ]
    by_name = {(figure.name, figure.rival): figure for figure in figures}
    assert by_name["lookup 100x50, p50", "floor"].must == 1.5
    assert by_name["lookup 1x10 with a cached prediction, p50", "without"].theirs > 0
    assert by_name["bytes per entity, 50 float32", "Feast"].ours < 400
    assert by_name["answers CACHED beyond max_age", ""].ours == 0
    assert (tmp_path / "traffic.png").stat().st_size > 10_000
    assert all(figure.ours > 0 or not figure.rival for figure in figures)
    assert markdown(figures).count("\n") == len(figures) + 2


def test_a_ratio_is_judged_against_what_it_must_reach_and_what_it_should() -> None:
    goal = Goal(must=2, aim=3)
    assert [at_least("x", "them", 1, theirs, "ms", goal).verdict for theirs in (1.9, 2, 3)] == [
        "**missed**",
        "reached",
        "aim",
    ]
    share = Goal(must=1.5, aim=1.2)
    assert [at_most("x", "them", ours, 1, "ms", share).verdict for ours in (1.6, 1.5, 1.2)] == [
        "**missed**",
        "reached",
        "aim",
    ]
    figure = at_least("x", "them", 1, 3, "ms")
    assert figure.verdict == ""
    assert Figure(**{key: value for key, value in figure.to_dict().items() if key != "verdict"}) == figure
