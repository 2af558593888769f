"""The last comparison of each view's coverage with the state of its inputs, in the registry database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, select, update

from featurestore.intervals import Coverage, Interval, from_micros, to_micros
from featurestore.plan.pending import PendingChange
from featurestore.stores.claims import canonical_json
from featurestore.stores.database import Database
from featurestore.stores.tables import input_checks

__all__ = ["InputCheck", "InputChecks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCheck:
    """``checked`` holds what ``inputs`` say, except for the ``pending`` changes; ``delta_version`` is the table's then.

    ``number`` counts the checks of a view version. A view that was never checked has the empty check: then each run's
    own inputs are what its rows hold.
    """

    view: str
    version: int
    number: int = 0
    delta_version: int = -1
    inputs: Mapping[str, Any] = field(default_factory=dict)
    checked: Coverage = field(default_factory=Coverage)
    pending: tuple[PendingChange, ...] = ()
    checked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InputChecks:
    """One project's checks. Losing one loses no change: what runs recorded is compared again."""

    database: Database
    project: str

    def last(self, view: str, version: int) -> InputCheck:
        """Give the last check, the empty one where there is none."""
        with self.database.read() as connection:
            row = connection.execute(select(input_checks).where(self._of(view, version))).mappings().first()
        if row is None:
            return InputCheck(view=view, version=version)
        return InputCheck(
            view=view,
            version=version,
            number=row["number"],
            delta_version=row["delta_version"],
            inputs=json.loads(row["inputs"]),
            checked=Coverage.of(Interval(from_micros(s), from_micros(e)) for s, e in json.loads(row["checked"])),
            pending=tuple(PendingChange.from_dict(change) for change in json.loads(row["pending"])),
            checked_at=from_micros(row["checked_at_us"]),
        )

    def record(self, check: InputCheck, *, now: datetime) -> bool:
        """Put ``check`` in the place of the one numbered one less; say whether that still stood.

        Where another process recorded one meanwhile nothing is written: the next run finds the same changes again.
        """
        values = {
            "number": check.number,
            "delta_version": check.delta_version,
            "inputs": canonical_json(check.inputs),
            "checked": canonical_json([[to_micros(part.start), to_micros(part.end)] for part in check.checked]),
            "pending": canonical_json([change.to_dict() for change in check.pending]),
            "checked_at_us": to_micros(now),
        }
        of = self._of(check.view, check.version)
        with self.database.write(f"{self.project}/{check.view}/{check.version}") as connection:
            found = connection.execute(select(input_checks.c.number).where(of)).scalar()
            if (found or 0) != check.number - 1:
                return False
            if found is None:
                key = {"project": self.project, "view": check.view, "version": check.version}
                connection.execute(insert(input_checks).values(key | values))
            else:
                connection.execute(update(input_checks).where(of).values(values))
        return True

    def _of(self, view: str, version: int) -> ColumnElement[bool]:
        columns = input_checks.c
        return and_(columns.project == self.project, columns.view == view, columns.version == version)
