"""The ledger in SQL: who computes which interval, what is done, what was published."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    insert,
    select,
    update,
)

from featurestore.errors import IntervalBusy
from featurestore.intervals import Coverage, Interval, to_micros
from featurestore.stores.base import (
    Claim,
    CommitRecord,
    LedgerRebuild,
    PublicationRecord,
    RunRecord,
    RunState,
)
from featurestore.stores.claims import canonical_json, decide
from featurestore.stores.database import Database
from featurestore.stores.ledger_rows import read_interval, read_publication, read_run
from featurestore.stores.tables import input_checks, publications, runs

__all__ = ["SqlLedger"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """One project's ledger: one row for each (view version, interval, generation), whatever the number of attempts."""

    database: Database
    project: str

    def coverage(self, view: str, version: int) -> Coverage:
        query = select(runs.c.start_us, runs.c.end_us).where(
            self._of(runs, view, version), runs.c.state == RunState.DONE.value
        )
        with self.database.read() as connection:
            return Coverage.of(read_interval(row) for row in connection.execute(query.distinct()).mappings())

    def runs(self, view: str, version: int, within: Interval | None = None) -> Sequence[RunRecord]:
        """Give the runs in order of interval, then generation; ``within`` keeps those that share an instant with it."""
        with self.database.read() as connection:
            return self._runs(connection, view, version, within)

    def publications(self, view: str, version: int) -> Sequence[PublicationRecord]:
        """Give the publications in order of time."""
        query = select(publications).where(self._of(publications, view, version))
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(publications.c.published_at_us, publications.c.delta_version))
            return tuple(read_publication(row) for row in rows.mappings())

    def claim(
        self,
        view: str,
        version: int,
        interval: Interval,
        *,
        inputs: Mapping[str, Any],
        created: datetime,
        owner: str,
        now: datetime,
        lease: timedelta,
        repair: bool = False,
    ) -> Claim:
        """Take the interval as ``Ledger.claim`` says; a live lease on a part of it makes it busy too."""
        with self.database.write(self._scope(view, version)) as connection:
            overlapping = self._runs(connection, view, version, interval)
            grant = decide(
                view,
                version,
                interval,
                overlapping,
                inputs=inputs,
                created=created,
                owner=owner,
                now=now,
                repair=repair,
            )
            claim = Claim(
                run_id=uuid.uuid4().hex,
                view=view,
                version=version,
                interval=interval,
                generation=grant.generation,
                created=grant.created,
                inputs=dict(inputs),
                owner=owner,
                lease_until=now + lease,
                is_repair=grant.is_repair,
            )
            values = {
                "run_id": claim.run_id,
                "state": RunState.CLAIMED.value,
                "owner": owner,
                "lease_until_us": to_micros(claim.lease_until),
                "created_us": to_micros(claim.created),
                "inputs": canonical_json(inputs),
                "attempts": grant.attempts,
                "claimed_at_us": to_micros(now),
                "updated_at_us": to_micros(now),
            }
            self._put(connection, self._key(view, version, interval, grant.generation), values)
        return claim

    def heartbeat(self, claim: Claim, *, now: datetime, lease: timedelta) -> None:
        """Extend the lease; IntervalBusy when it was lost to another owner."""
        values = {
            "lease_until_us": to_micros(now + lease),
            "updated_at_us": to_micros(now),
        }
        if not self._change(claim, values):
            raise IntervalBusy(
                f"{claim.view} v{claim.version} {claim.interval}: run {claim.run_id} no longer holds the lease:"
                " it ran out and another run took the interval, or the run has ended; stop, and let that one finish",
                view=claim.view,
                version=claim.version,
                run_id=claim.run_id,
            )

    def finish(self, commit: CommitRecord, *, now: datetime) -> None:
        """Record a done run, whoever holds the claim: the Delta log is the truth. Idempotent."""
        with self.database.write(self._scope(commit.view, commit.version)) as connection:
            self._finish(connection, commit, now)

    def refuse(self, claim: Claim, error: Mapping[str, Any], *, now: datetime) -> None:
        """Record that the gate refused the rows; a claim lost meanwhile changes nothing."""
        self._end(claim, RunState.REFUSED, error, now)

    def fail(self, claim: Claim, error: Mapping[str, Any], *, now: datetime) -> None:
        """Record that the run failed; a claim that was lost, or is done meanwhile, changes nothing."""
        self._end(claim, RunState.FAILED, error, now)

    def withdraw(self, claim: Claim, *, now: datetime) -> None:
        """Forget a run that committed nothing and is to be done in parts; one that had attempts before has failed."""
        key = self._key(claim.view, claim.version, claim.interval, claim.generation)
        held = key | {"run_id": claim.run_id, "state": RunState.CLAIMED.value, "attempts": 1}
        with self.database.write(self._scope(claim.view, claim.version)) as connection:
            if connection.execute(delete(runs).where(_matches(runs, held))).rowcount:
                return
        self.fail(claim, {"type": "Withdrawn", "message": "done in parts"}, now=now)

    def record_publication(self, publication: PublicationRecord) -> None:
        """Add a publication. Idempotent: the same one again changes nothing."""
        view, version = publication.view, publication.version
        key = {
            "project": self.project,
            "view": view,
            "version": version,
            "delta_version": publication.delta_version,
            "published_at_us": to_micros(publication.published_at),
        }
        until = publication.covered_until
        values = {
            "covered_until_us": None if until is None else to_micros(until),
            "sent": publication.sent,
            "ignored": publication.ignored,
            "bytes_sent": publication.bytes_sent,
        }
        with self.database.write(self._scope(view, version)) as connection:
            if not connection.execute(update(publications).where(_matches(publications, key)).values(values)).rowcount:
                connection.execute(insert(publications).values(key | values))

    def forget(self, view: str, version: int) -> None:
        """Drop all runs, publications and the input check of a view version."""
        with self.database.write(self._scope(view, version)) as connection:
            for table in (runs, publications, input_checks):
                connection.execute(delete(table).where(self._of(table, view, version)))

    def rebuild(self, view: str, version: int, commits: Sequence[CommitRecord], *, now: datetime) -> LedgerRebuild:
        """Make the done runs those of the Delta log, in one transaction; claims and failures stay. Idempotent."""
        with self.database.write(self._scope(view, version)) as connection:
            kept = {(commit.interval, commit.generation) for commit in commits}
            recorded = self._runs(connection, view, version, None)
            done = {(run.interval, run.generation) for run in recorded if run.state is RunState.DONE}
            for interval, generation in sorted(done - kept):
                key = self._key(view, version, interval, generation)
                connection.execute(delete(runs).where(_matches(runs, key)))
                _logger.warning("%s v%d %s generation %d is not in Delta", view, version, interval, generation)
            if done - kept:  # the check may speak of rows that are gone; without it, runs' own inputs are compared
                connection.execute(delete(input_checks).where(self._of(input_checks, view, version)))
            for commit in commits:
                self._finish(connection, commit, now)
        return LedgerRebuild(added=len(kept - done), removed=len(done - kept))

    def _finish(self, connection: Connection, commit: CommitRecord, now: datetime) -> None:
        key = self._key(commit.view, commit.version, commit.interval, commit.generation)
        values = {
            "run_id": commit.run_id,
            "state": RunState.DONE.value,
            "created_us": to_micros(commit.created),
            "inputs": canonical_json(commit.inputs),
            "error": "{}",
            "delta_version": commit.delta_version if commit.delta_version >= 0 else None,
        }
        # What a run cost is known only after its commit: the log has fewer counts than a ledger that saw it end.
        if connection.execute(select(runs.c.run_id).where(_matches(runs, key | values))).first() is None:
            counts = {"counts": canonical_json(commit.counts)}
            self._put(connection, key, values | counts | {"updated_at_us": to_micros(now)})

    def _end(self, claim: Claim, state: RunState, error: Mapping[str, Any], now: datetime) -> None:
        values = {
            "state": state.value,
            "error": canonical_json(error),
            "updated_at_us": to_micros(now),
        }
        if not self._change(claim, values):
            _logger.info(
                "%s v%d %s: run %s had ended before",
                claim.view,
                claim.version,
                claim.interval,
                claim.run_id,
            )

    def _change(self, claim: Claim, values: Mapping[str, Any]) -> bool:
        key = self._key(claim.view, claim.version, claim.interval, claim.generation)
        held = key | {"run_id": claim.run_id, "state": RunState.CLAIMED.value}
        with self.database.write(self._scope(claim.view, claim.version)) as connection:
            return connection.execute(update(runs).where(_matches(runs, held)).values(values)).rowcount == 1

    def _put(self, connection: Connection, key: dict[str, Any], values: dict[str, Any]) -> None:
        """Update the row, or insert it; the write transaction lets nobody in between."""
        if connection.execute(update(runs).where(_matches(runs, key)).values(values)).rowcount:
            return
        empty = {
            "owner": "",
            "lease_until_us": values["updated_at_us"],
            "counts": "{}",
            "error": "{}",
            "attempts": 1,
        }
        connection.execute(insert(runs).values(empty | key | values))

    def _runs(self, connection: Connection, view: str, version: int, within: Interval | None) -> tuple[RunRecord, ...]:
        query = select(runs).where(self._of(runs, view, version))
        if within is not None:
            query = query.where(
                runs.c.start_us < to_micros(within.end),
                runs.c.end_us > to_micros(within.start),
            )
        rows = connection.execute(query.order_by(runs.c.start_us, runs.c.end_us, runs.c.generation))
        return tuple(read_run(row) for row in rows.mappings())

    def _key(self, view: str, version: int, interval: Interval, generation: int) -> dict[str, Any]:
        return {
            "project": self.project,
            "view": view,
            "version": version,
            "start_us": to_micros(interval.start),
            "end_us": to_micros(interval.end),
            "generation": generation,
        }

    def _of(self, table: Table, view: str, version: int) -> ColumnElement[bool]:
        return _matches(table, {"project": self.project, "view": view, "version": version})

    def _scope(self, view: str, version: int) -> str:
        return f"{self.project}/{view}/{version}"


def _matches(table: Table, values: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in values.items()))
