"""What a table was computed from, and which changes are still to be repaired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from featurestore.intervals import Coverage, Interval
from featurestore.plan.late_data import Touched
from featurestore.plan.pending import (
    TOUCHED_KEYS,
    PendingChange,
    PinnedPart,
    keep_pending,
    pinned_parts,
    show_pending,
    unresolved,
)
from tests.support.nodes import START, aggregate_view

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Run:
    interval: Interval
    inputs: Mapping[str, Any]
    delta_version: int | None


def span(first: int, last: int) -> Interval:
    return Interval(START + first * DAY, START + last * DAY)


def run(first: int, last: int, pin: int, delta_version: int, **more: Any) -> Run:
    return Run(span(first, last), {"v": pin, **more}, delta_version)


def pending(first: int, last: int, **overrides: Any) -> PendingChange:
    values = {"input": "clicks", "times": span(first, first + 1), "rows": 3, **overrides}
    return PendingChange(
        touched=Touched(**values), since={"version": 2}, affected=span(first, last), steps=last - first, delta_version=5
    )


def part(pin: int, *spans: tuple[int, int]) -> PinnedPart:
    return PinnedPart(coverage=Coverage.of(span(*one) for one in spans), inputs={"v": pin})


def test_the_last_run_speaks_for_a_step_unless_it_computed_some_keys_only() -> None:
    runs = [run(0, 2, 1, 1), run(2, 3, 2, 2), run(1, 2, 2, 3), run(0, 3, 9, 4, **TOUCHED_KEYS)]
    assert set(map(str, pinned_parts(runs, Coverage(), {}, -1))) == {str(part(2, (1, 3))), str(part(1, (0, 1)))}


def test_a_check_speaks_for_what_it_covered_until_a_later_run() -> None:
    runs = [run(0, 1, 1, 1), run(1, 2, 2, 2), run(2, 3, 3, 5), run(1, 2, 1, 6)]
    parts = pinned_parts(runs, Coverage.of([span(0, 2)]), {"v": 3}, 2)
    assert {(one.inputs["v"], one.coverage) for one in parts} == {
        (3, Coverage.of([span(0, 1), span(2, 3)])),
        (1, Coverage.of([span(1, 2)])),
    }


def test_a_change_is_resolved_when_all_its_steps_were_computed_for_all_keys() -> None:
    change = pending(1, 3)
    assert unresolved([change], [run(0, 3, 9, 5)]) == (change,), "that was before it was found"
    assert unresolved([change], [run(0, 3, 9, 6, **TOUCHED_KEYS)]) == (change,)
    assert unresolved([change], [run(1, 2, 9, 6)]) == (change,)
    assert unresolved([change], [run(1, 2, 9, 6), run(2, 3, 9, 7)]) == ()


def test_a_change_of_all_keys_takes_in_those_it_covers() -> None:
    known = [pending(1, 3), pending(8, 9), pending(1, 3, input="users")]
    whole = pending(0, 5, keys_known=False, times=span(0, 5))
    assert keep_pending(known, [whole]) == (known[1], known[2], whole)
    assert keep_pending([pending(0, 5)], [pending(0, 5)]) == (pending(0, 5), pending(0, 5))


def test_it_survives_json_and_says_what_to_run() -> None:
    view = aggregate_view(late_data=2 * DAY)
    for change in (pending(1, 3), pending(1, 3, times=None, rows=None, keys_known=False, reason="it was rewritten")):
        assert PendingChange.from_dict(change.to_dict()) == change
    assert show_pending(view, pending(1, 3), "featurestore repair stats") == (
        "3 rows of clicks from 2026-01-02T00:00:00Z to 2026-01-02T23:59:59.999999Z changed after 2 steps had read "
        "them, older than late_data (2d): run `featurestore repair stats`"
    )
    single = replace(pending(1, 2, rows=1, times=None, reason="it was rewritten"), steps=1)
    assert show_pending(view, single, "x").startswith(
        "1 row of clicks changed after 1 step had read them (it was rewritten), older"
    )
