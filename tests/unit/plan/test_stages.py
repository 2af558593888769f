"""The order of stages, and which steps start a covered stretch."""

from __future__ import annotations

from datetime import timedelta

import pytest

from featurestore.errors import FeatureNotFound
from featurestore.intervals import Coverage, Interval
from featurestore.plan.stages import ComputeStage, PublishStage, RepairStage, build_stages
from tests.support.nodes import START, aggregate_view, manifest_of, plain_view, prediction_view, reads

MANIFEST = manifest_of(
    plain_view(name="a_child", inputs=(reads("stats", "total"),)),
    aggregate_view(name="stats"),
    plain_view(name="offline_only", online=False),
    prediction_view(name="score"),
)
BOUNDS = Interval(START, START + timedelta(days=2))


def day(number: int) -> Interval:
    return Interval(START + timedelta(days=number), START + timedelta(days=number + 1))


def test_features_are_computed_scored_and_published_before_predictions() -> None:
    names = ["score", "a_child", "stats", "offline_only"]
    stages = build_stages(MANIFEST, names, BOUNDS, {"stats": Coverage.of([day(0)])})
    assert [str(stage) for stage in stages] == [
        "repair stats within late_data, if its inputs changed",
        "compute stats [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)",
        "compute a_child [2026-01-01T00:00:00Z, 2026-01-02T00:00:00Z)",
        "compute a_child [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)",
        "compute offline_only [2026-01-01T00:00:00Z, 2026-01-02T00:00:00Z)",
        "compute offline_only [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)",
        "score score [2026-01-01T00:00:00Z, 2026-01-02T00:00:00Z)",
        "score score [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)",
        "publish stats",
        "publish a_child",
        "publish score",
    ]


def test_only_named_views_have_stages_and_done_ones_are_still_published() -> None:
    stages = build_stages(MANIFEST, ["stats"], BOUNDS, {"stats": Coverage.of([BOUNDS])})
    assert stages == (RepairStage(view="stats"), PublishStage(view="stats"))


def test_first_says_that_no_step_lies_before() -> None:
    coverage = Coverage.of([day(2), day(3)])
    stages = build_stages(MANIFEST, ["stats"], Interval(START, day(6).end), {"stats": coverage})
    computed = [(stage.interval, stage.first) for stage in stages if isinstance(stage, ComputeStage)]
    assert computed == [(day(0), True), (day(1), False), (day(4), False), (day(5), False), (day(6), False)]
    _, alone, *_ = build_stages(MANIFEST, ["stats"], day(5), {"stats": coverage})
    assert isinstance(alone, ComputeStage) and alone.first


def test_repair_computes_covered_steps_again_and_says_which() -> None:
    stages = build_stages(MANIFEST, ["stats"], BOUNDS, {"stats": Coverage.of([day(0)])}, repair=True)
    assert [(s.interval, s.first, s.repair) for s in stages if isinstance(s, ComputeStage)] == [
        (day(0), True, True),
        (day(1), False, False),
    ]


def test_an_unknown_view_is_named_with_the_valid_ones() -> None:
    with pytest.raises(FeatureNotFound, match="no view 'nope'; it has a_child, offline_only, score, stats"):
        build_stages(MANIFEST, ["nope"], BOUNDS, {})
