"""Sixteen claimers in four processes on one database."""

from __future__ import annotations

from collections import Counter

from featurestore.stores.database import create_database
from featurestore.stores.ledger import SqlLedger
from tests.support import claimers
from tests.support.claimers import INTERVAL, LEASE, NOW, race


def test_first_use_by_many_makes_the_tables_once(database_url: str) -> None:
    assert race(claimers.make_tables, database_url) == {"made": 16}


def test_one_of_sixteen_claimers_wins_and_the_others_hear_that_it_is_busy(database_url: str) -> None:
    create_database(database_url).close()
    assert race(claimers.claim_once, database_url) == {"won": 1, "busy": 15}


def test_one_of_sixteen_takes_over_from_a_crashed_holder(database_url: str) -> None:
    with create_database(database_url) as database:
        ledger = SqlLedger(database, "shop")
        crashed = ledger.claim("v", 1, INTERVAL, inputs={}, created=NOW, owner="x", now=NOW - LEASE, lease=LEASE)
        assert race(claimers.claim_once, database_url) == {"won": 1, "busy": 15}
        (run,) = ledger.runs("v", 1)
        assert (run.generation, run.attempts, run.created) == (1, 2, crashed.created)


def test_no_writer_ever_hears_that_the_database_is_locked(database_url: str) -> None:
    assert race(claimers.work_through, database_url) == {"done": 16}


def test_applies_beside_each_other_get_their_own_generations_and_storage_ids(database_url: str) -> None:
    answers = race(claimers.apply_own_view, database_url)
    assert answers == Counter(f"generation {number}, storage id {number}" for number in range(1, 17))
