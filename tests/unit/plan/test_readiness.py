"""What a step waits for, by kind of source and by input view."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import PushSourceNode, SourceInput, StoredViewNode
from featurestore.plan.readiness import Facts, check_readiness
from featurestore.spec.source import Ready, after, marker, watermark
from tests.support.nodes import START, aggregate_view, clicks, manifest_of, plain_view, prediction_view, reads

STEP = Interval(START + timedelta(days=1), START + timedelta(days=2))
MICROSECOND = timedelta(microseconds=1)


def waits(view: StoredViewNode, *parents: StoredViewNode, now: datetime = STEP.end, **facts: Any) -> list[str]:
    ready: Ready = facts.pop("ready", after())
    sources = {
        "clicks": clicks(ready=ready),
        "pushed": PushSourceNode(name="pushed", batch_source="clicks", schema=()),
    }
    manifest = manifest_of(view, *parents, sources=sources)
    readiness = check_readiness(manifest, view, STEP, Facts(now=now, **facts))
    assert readiness.is_ready is not bool(readiness.waits_for)
    return [str(wait) for wait in readiness.waits_for]


def test_a_step_waits_for_its_end() -> None:
    assert waits(plain_view()) == []
    assert waits(plain_view(), now=STEP.end - MICROSECOND) == ["plain: the step ends at 2026-01-03T00:00:00Z"]


def test_after_waits_for_the_delay() -> None:
    ready = after(timedelta(hours=2))
    assert waits(plain_view(), ready=ready, now=STEP.end + timedelta(hours=2)) == []
    assert waits(plain_view(), ready=ready) == ["clicks: complete at 2026-01-03T02:00:00Z, 2h after the step's end"]


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        (STEP.end, []),
        (
            STEP.end - MICROSECOND,
            ["clicks: holds rows up to 2026-01-02T23:59:59.999999Z, needs one at or after 2026-01-03T00:00:00Z"],
        ),
        (None, ["clicks: holds no rows, needs one at or after 2026-01-03T00:00:00Z"]),
    ],
)
def test_watermark_waits_for_a_row_at_the_end(reached: datetime | None, expected: list[str]) -> None:
    assert waits(plain_view(), ready=watermark(), watermarks={"clicks": reached}) == expected


def test_marker_waits_for_its_file() -> None:
    ready = marker("landing/{end:%Y-%m-%d}/_SUCCESS")
    assert waits(plain_view(), ready=ready, markers={"clicks": True}) == []
    assert waits(plain_view(), ready=ready) == ["clicks: landing/2026-01-03/_SUCCESS does not exist"]


def test_a_push_source_waits_as_its_batch_source() -> None:
    view = aggregate_view(inputs=(SourceInput(source="pushed"),))
    assert waits(view, ready=marker("x")) == ["clicks: x does not exist"]


def test_an_input_view_must_cover_the_step() -> None:
    child, parent = plain_view(name="child", inputs=(reads("stats", "total"),)), aggregate_view()
    assert waits(child, parent, coverages={"stats": Coverage.of([STEP])}) == []
    assert waits(child, parent, coverages={"stats": Coverage.of([Interval(START, STEP.start)])}) == [
        "stats: not computed yet for [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)"
    ]


def test_windows_over_an_input_views_rows_need_all_of_their_length() -> None:
    parent = plain_view(name="parent", start=START - timedelta(days=30))
    child = aggregate_view(name="child", inputs=(reads("parent"),))
    assert waits(child, parent, coverages={"parent": Coverage.of([STEP])}) == [
        "parent: not computed yet for [2025-12-26T00:00:00Z, 2026-01-02T00:00:00Z)"
    ]
    week = Interval(STEP.start - timedelta(days=7), STEP.end)
    assert waits(child, parent, coverages={"parent": Coverage.of([week])}) == []
    young = plain_view(name="parent", start=START)
    assert waits(child, young, coverages={"parent": Coverage.of([Interval(START, STEP.end)])}) == []


def test_nothing_is_waited_for_before_an_input_views_first_step() -> None:
    child = plain_view(name="child", inputs=(reads("stats", "total"),))
    assert waits(child, aggregate_view(start=STEP.end)) == []
    assert waits(child, aggregate_view(schedule=None)) == []


def test_a_prediction_waits_for_the_views_of_its_features() -> None:
    assert waits(prediction_view(), aggregate_view()) == [
        "stats: not computed yet for [2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z)"
    ]
