"""What every ledger keeps, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from featurestore.errors import IntervalBusy, StateError
from featurestore.intervals import Interval
from featurestore.stores.base import Claim, CommitRecord, LedgerRebuild, PublicationRecord, RunState
from featurestore.stores.database import Database
from featurestore.stores.ledger import SqlLedger

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(minutes=5)
TICK = timedelta(microseconds=1)


def day(number: int, until: int | None = None) -> Interval:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Interval(start + timedelta(days=number), start + timedelta(days=number + 1 if until is None else until))


DAY = day(0)


def claim(ledger: SqlLedger, interval: Interval = DAY, **overrides: Any) -> Claim:
    values: dict[str, Any] = {
        "inputs": {"clicks": 7},
        "created": interval.end,
        "owner": "a",
        "now": NOW,
        "lease": LEASE,
    }
    return ledger.claim("v", 1, interval, **(values | overrides))


def commit(claimed: Claim, **overrides: Any) -> CommitRecord:
    values: dict[str, Any] = {
        "run_id": claimed.run_id,
        "view": claimed.view,
        "version": claimed.version,
        "interval": claimed.interval,
        "generation": claimed.generation,
        "fingerprint": "f",
        "created": claimed.created,
        "inputs": claimed.inputs,
        "counts": {"rows": 3},
        "delta_version": 4,
    }
    return CommitRecord(**(values | overrides))


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    return SqlLedger(database, "shop")


def test_first_claim_has_generation_one_and_the_given_created(ledger: SqlLedger) -> None:
    claimed = claim(ledger)
    assert (claimed.generation, claimed.created, claimed.is_repair) == (1, day(0).end, False)
    (run,) = ledger.runs("v", 1)
    assert (run.state, run.owner, run.lease_until, run.inputs) == (RunState.CLAIMED, "a", NOW + LEASE, {"clicks": 7})


def test_a_live_lease_refuses_others_and_names_the_holder(ledger: SqlLedger) -> None:
    claim(ledger)
    with pytest.raises(IntervalBusy, match=r"by a .*lease lasts until 2026-03-01T12:05:00.123456Z"):
        claim(ledger, owner="b", now=NOW + LEASE - TICK)


def test_a_live_lease_refuses_an_overlapping_interval(ledger: SqlLedger) -> None:
    claim(ledger, day(0, until=3))
    with pytest.raises(IntervalBusy):
        claim(ledger, day(2, until=4), owner="b")
    assert claim(ledger, day(3), owner="b").generation == 1


def test_the_owner_may_claim_its_own_interval_again(ledger: SqlLedger) -> None:
    first = claim(ledger)
    again = claim(ledger)
    assert again.generation == 1 and again.run_id != first.run_id
    assert ledger.runs("v", 1)[0].attempts == 2


def test_an_expired_lease_is_taken_over_and_the_old_owner_notices(ledger: SqlLedger) -> None:
    old = claim(ledger)
    late = NOW + LEASE
    new = claim(ledger, owner="b", now=late, created=late)
    assert (new.generation, new.created) == (old.generation, old.created)
    with pytest.raises(IntervalBusy, match="no longer holds"):
        ledger.heartbeat(old, now=late, lease=LEASE)
    ledger.fail(old, {"message": "late"}, now=late)
    ledger.heartbeat(new, now=late, lease=LEASE)
    assert [run.state for run in ledger.runs("v", 1)] == [RunState.CLAIMED]


def test_heartbeat_extends_the_lease(ledger: SqlLedger) -> None:
    held = claim(ledger)
    ledger.heartbeat(held, now=NOW + LEASE, lease=LEASE)
    with pytest.raises(IntervalBusy):
        claim(ledger, owner="b", now=NOW + LEASE + TICK)


def test_a_retry_keeps_generation_and_created_while_inputs_are_the_same(ledger: SqlLedger) -> None:
    ledger.fail(claim(ledger), {"message": "x"}, now=NOW)
    again = claim(ledger, owner="b", created=NOW)
    assert (again.generation, again.created) == (1, day(0).end)
    assert len(ledger.runs("v", 1)) == 1


def test_changed_inputs_take_the_next_generation(ledger: SqlLedger) -> None:
    ledger.refuse(claim(ledger), {"rule": "r"}, now=NOW)
    after_refusal = claim(ledger, inputs={"clicks": 8})
    assert (after_refusal.generation, after_refusal.created) == (2, day(0).end)
    ledger.fail(after_refusal, {}, now=NOW)
    after_failure = claim(ledger, inputs={"clicks": 9})
    assert (after_failure.generation, after_failure.created) == (3, day(0).end + TICK)
    assert [run.state for run in ledger.runs("v", 1)] == [RunState.REFUSED, RunState.FAILED, RunState.CLAIMED]


def test_done_is_claimed_again_only_as_a_repair(ledger: SqlLedger) -> None:
    ledger.finish(commit(claim(ledger)), now=NOW)
    with pytest.raises(StateError, match="is done; claim it with repair"):
        claim(ledger)
    repair = claim(ledger, repair=True)
    assert (repair.generation, repair.created, repair.is_repair) == (2, NOW, True)
    assert ledger.coverage("v", 1).covers(day(0)), "an interval stays done while it is repaired"
    ledger.fail(repair, {}, now=NOW)
    retried = claim(ledger, repair=True, now=NOW + LEASE)
    assert (retried.generation, retried.created, retried.is_repair) == (2, NOW, True)
    ledger.finish(commit(retried), now=NOW)
    assert claim(ledger, repair=True, now=NOW - LEASE).created == NOW + TICK


def test_done_is_judged_by_coverage_not_by_bounds(ledger: SqlLedger) -> None:
    ledger.finish(commit(claim(ledger, day(0, until=4))), now=NOW)
    with pytest.raises(StateError, match="is done;"):
        claim(ledger, day(2))
    assert claim(ledger, day(2), repair=True).is_repair
    with pytest.raises(StateError, match=r"in part; claim what is missing \(\[2026-01-05T00:00:00Z, 2026-01-07"):
        claim(ledger, day(3, until=6), repair=True)


def test_finish_is_idempotent_and_needs_no_claim(ledger: SqlLedger) -> None:
    claimed = claim(ledger)
    for _ in range(2):
        ledger.finish(commit(claimed), now=NOW)
    claim(ledger, day(1))
    ledger.finish(commit(claimed, interval=day(1), run_id="lost-and-found"), now=NOW)
    ledger.finish(commit(claimed, interval=day(2)), now=NOW)
    *runs, unclaimed = ledger.runs("v", 1)
    assert (unclaimed.claimed_at, unclaimed.updated_at, runs[0].claimed_at) == (None, NOW, NOW)
    assert [(run.state, run.run_id, run.counts) for run in runs] == [
        (RunState.DONE, claimed.run_id, {"rows": 3}),
        (RunState.DONE, "lost-and-found", {"rows": 3}),
    ]
    ledger.fail(claimed, {"message": "publication failed"}, now=NOW)
    assert ledger.runs("v", 1) == (*runs, unclaimed), "what is committed is done"


def test_coverage_merges_done_runs_only(ledger: SqlLedger) -> None:
    for number in (0, 1, 3):
        ledger.finish(commit(claim(ledger, day(number))), now=NOW)
    ledger.refuse(claim(ledger, day(2)), {}, now=NOW)
    claim(ledger, day(4))
    assert ledger.coverage("v", 1).stretches == (day(0, until=2), day(3))
    assert not ledger.coverage("v", 2) and not ledger.coverage("v1", 1)


def test_runs_within_share_an_instant(ledger: SqlLedger) -> None:
    for number in range(4):
        claim(ledger, day(number))
    assert [run.interval for run in ledger.runs("v", 1, day(1, until=3))] == [day(1), day(2)]


def test_rebuild_takes_the_delta_log_as_the_truth(ledger: SqlLedger) -> None:
    first, second, third = (claim(ledger, day(number)) for number in range(3))
    ledger.finish(commit(first), now=NOW)
    commits = [commit(second), commit(second, generation=2, created=NOW)]
    changes = [ledger.rebuild("v", 1, commits, now=NOW) for _ in range(2)]
    assert [(change.added, change.removed) for change in changes] == [(2, 1), (0, 0)]
    assert [(run.interval, run.generation, run.state) for run in ledger.runs("v", 1)] == [
        (day(1), 1, RunState.DONE),
        (day(1), 2, RunState.DONE),
        (day(2), 1, RunState.CLAIMED),
    ]
    ledger.heartbeat(third, now=NOW, lease=LEASE)


def test_publications_keep_their_order_and_repeat_nothing(ledger: SqlLedger) -> None:
    made = [
        PublicationRecord(
            view="v",
            version=1,
            delta_version=number,
            covered_until=until,
            sent=2,
            ignored=1,
            bytes_sent=99,
            published_at=at,
        )
        for number, until, at in ((3, None, NOW), (3, day(0).end, NOW + TICK), (2, day(1).end, NOW + LEASE))
    ]
    for publication in [*made, *made]:
        ledger.record_publication(publication)
    assert ledger.publications("v", 1) == tuple(made)


def test_a_repair_of_several_steps_speaks_above_their_runs(ledger: SqlLedger) -> None:
    for number in (0, 1):
        ledger.finish(commit(claim(ledger, day(number))), now=NOW)
    repair = claim(ledger, day(0, 2), repair=True)
    assert (repair.generation, repair.is_repair, repair.created) == (2, True, NOW)
    ledger.finish(commit(repair), now=NOW)
    assert claim(ledger, day(1), repair=True, now=NOW).generation == 3


def test_forget_drops_one_view_version_of_one_project(database: Database) -> None:
    shops = [SqlLedger(database, name) for name in ("shop", "shop2")]
    for ledger in shops:
        ledger.finish(commit(claim(ledger)), now=NOW)
        ledger.claim("v", 2, day(0), inputs={}, created=NOW, owner="a", now=NOW, lease=LEASE)
    shops[0].forget("v", 1)
    assert not shops[0].runs("v", 1) and shops[0].runs("v", 2)
    assert shops[1].coverage("v", 1).covers(day(0))


def test_claims_of_two_projects_do_not_meet(database: Database) -> None:
    assert claim(SqlLedger(database, "shop")).generation == 1
    assert claim(SqlLedger(database, "shop2"), owner="b").generation == 1


def test_a_run_that_is_done_in_parts_leaves_nothing_behind(ledger: SqlLedger) -> None:
    whole = claim(ledger, day(0, 4))
    ledger.withdraw(whole, now=NOW)
    assert ledger.runs("v", 1) == ()
    part = claim(ledger, day(1, 3), owner="b")
    assert part.created == day(1, 3).end
    ledger.withdraw(whole, now=NOW)
    assert [run.state for run in ledger.runs("v", 1)] == [RunState.CLAIMED]


def test_a_run_that_may_have_committed_before_is_not_forgotten(ledger: SqlLedger) -> None:
    claim(ledger, day(0, 4), now=NOW - 2 * LEASE)
    again = claim(ledger, day(0, 4), owner="b")
    ledger.withdraw(again, now=NOW)
    assert [run.state for run in ledger.runs("v", 1)] == [RunState.FAILED]


def test_parts_of_a_lost_run_speak_just_after_what_it_may_have_said_of_them(ledger: SqlLedger) -> None:
    delay = timedelta(hours=2)
    claim(ledger, day(0, 4), created=day(0, 4).end + delay, now=NOW - 2 * LEASE)
    part = claim(ledger, day(1, 2), created=day(1, 2).end + delay, owner="b")
    assert (part.generation, part.created) == (1, day(1, 2).end + delay + TICK)


def test_what_a_run_cost_outlives_a_rebuild(ledger: SqlLedger) -> None:
    told = commit(claim(ledger))
    ledger.finish(replace(told, counts={**told.counts, "task_ms": 12}), now=NOW)
    assert ledger.rebuild("v", 1, [told], now=NOW) == LedgerRebuild(added=0, removed=0)
    assert ledger.runs("v", 1)[0].counts == {"rows": 3, "task_ms": 12}
