"""The ledger's rows as records."""

from __future__ import annotations

import json

from sqlalchemy import RowMapping

from featurestore.intervals import Interval, from_micros
from featurestore.stores.base import PublicationRecord, RunRecord, RunState

__all__ = ["read_interval", "read_publication", "read_run"]


def read_interval(row: RowMapping) -> Interval:
    return Interval(from_micros(row["start_us"]), from_micros(row["end_us"]))


def read_run(row: RowMapping) -> RunRecord:
    return RunRecord(
        run_id=row["run_id"],
        view=row["view"],
        version=row["version"],
        interval=read_interval(row),
        generation=row["generation"],
        state=RunState(row["state"]),
        owner=row["owner"],
        lease_until=from_micros(row["lease_until_us"]),
        created=from_micros(row["created_us"]),
        inputs=json.loads(row["inputs"]),
        counts=json.loads(row["counts"]),
        error=json.loads(row["error"]),
        delta_version=row["delta_version"],
        attempts=row["attempts"],
        claimed_at=None if row["claimed_at_us"] is None else from_micros(row["claimed_at_us"]),
        updated_at=from_micros(row["updated_at_us"]),
    )


def read_publication(row: RowMapping) -> PublicationRecord:
    return PublicationRecord(
        view=row["view"],
        version=row["version"],
        delta_version=row["delta_version"],
        covered_until=None if row["covered_until_us"] is None else from_micros(row["covered_until_us"]),
        sent=row["sent"],
        ignored=row["ignored"],
        bytes_sent=row["bytes_sent"],
        published_at=from_micros(row["published_at_us"]),
    )
