"""What every registry database keeps of comparisons with inputs, and how an older database gets the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import inspect, select, update

from featurestore.intervals import Coverage, Interval
from featurestore.plan.late_data import Touched
from featurestore.plan.pending import PendingChange
from featurestore.stores.database import Database, create_database
from featurestore.stores.input_checks import InputCheck, InputChecks
from featurestore.stores.ledger import SqlLedger
from featurestore.stores.tables import SCHEMA_VERSION, input_checks, schema_version

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
SPAN = Interval(NOW, NOW + DAY)
PENDING = PendingChange(
    touched=Touched(input="clicks", times=SPAN, rows=3), since={"version": 2}, affected=SPAN, steps=4, delta_version=7
)
CHECK = InputCheck(
    view="v",
    version=1,
    number=1,
    delta_version=7,
    inputs={"sources": {"clicks": {"version": 3}}},
    checked=Coverage.of([SPAN, Interval(NOW + 2 * DAY, NOW + 3 * DAY)]),
    pending=(PENDING,),
)


def test_a_check_is_kept_as_it_was_recorded(database: Database) -> None:
    checks = InputChecks(database, "shop")
    assert checks.last("v", 1) == InputCheck(view="v", version=1)
    assert checks.record(CHECK, now=NOW)
    assert checks.last("v", 1) == replace(CHECK, checked_at=NOW)
    assert InputChecks(database, "shop2").last("v", 1).number == 0


def test_of_two_that_compared_at_once_the_first_stands(database: Database) -> None:
    checks = InputChecks(database, "shop")
    assert checks.record(CHECK, now=NOW)
    assert not checks.record(replace(CHECK, pending=()), now=NOW)
    assert not checks.record(replace(CHECK, number=3), now=NOW)
    assert checks.last("v", 1).pending == (PENDING,)
    assert checks.record(replace(CHECK, number=2, pending=()), now=NOW + DAY)
    assert checks.last("v", 1) == replace(CHECK, number=2, pending=(), checked_at=NOW + DAY)


def test_a_view_version_that_is_forgotten_has_no_check(database: Database) -> None:
    checks = InputChecks(database, "shop")
    for version in (1, 2):
        assert checks.record(replace(CHECK, version=version), now=NOW)
    SqlLedger(database, "shop").forget("v", 1)
    assert [checks.last("v", version).number for version in (1, 2)] == [0, 1]


def test_a_database_of_the_first_version_gets_the_table(database: Database, database_url: str) -> None:
    with database.write("test") as connection:
        input_checks.drop(connection)
        connection.execute(update(schema_version).values(version=1))
    with create_database(database_url) as opened, opened.read() as connection:
        assert inspect(connection).has_table(input_checks.name)
        assert connection.execute(select(schema_version.c.version)).scalar() == SCHEMA_VERSION
