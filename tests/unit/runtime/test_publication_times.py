"""When rows were published: by the publication that reached their commit, whatever the clocks of both say."""

from __future__ import annotations

from datetime import datetime, timedelta

from featurestore.runtime.publication_times import publication_times
from featurestore.stores.base import CommitRecord, PublicationRecord
from tests.support.offline_views import at, commit_record, day

NOON = at("05T12")


def commit(delta_version: int, minutes: float | None) -> CommitRecord:
    computed_at = None if minutes is None else NOON + timedelta(minutes=minutes)
    return commit_record(day(delta_version), delta_version=delta_version, computed_at=computed_at)


def publication(delta_version: int, minutes: float) -> PublicationRecord:
    return PublicationRecord(
        view="user_data",
        version=1,
        delta_version=delta_version,
        covered_until=None,
        sent=1,
        ignored=0,
        bytes_sent=1,
        published_at=after(minutes),
    )


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_row_counts_from_the_first_publication_that_reached_its_commit() -> None:
    times = publication_times([commit(1, 0), commit(2, 5)], [publication(2, 9), publication(1, 3), publication(2, 7)])
    assert times == {after(0): after(3), after(5): after(7)}


def test_a_commit_that_landed_while_a_publication_ran_counts_from_the_next_one() -> None:
    computed_first_committed_last, other = commit(2, 0), commit(1, 2)
    times = publication_times([other, computed_first_committed_last], [publication(1, 10), publication(2, 20)])
    assert times == {after(2): after(10), after(0): after(20)}


def test_what_was_never_published_or_has_no_time_is_left_out() -> None:
    assert publication_times([commit(1, None), commit(2, 1)], [publication(1, 5)]) == {}
