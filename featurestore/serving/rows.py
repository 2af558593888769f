"""Rows as they were read, judged: present, expired, withheld, and how old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import numpy as np

from featurestore.codec.pointer import VersionRef
from featurestore.codec.value import DecodedColumn, DecodedRows, ListReader
from featurestore.ir.nodes import OnlineViewNode, ViewNode
from featurestore.ondemand.arrays import Column

__all__ = ["FeatureStatus", "RowRules", "StoredColumn", "ViewRows", "row_rules"]

_MICROSECOND = timedelta(microseconds=1)


class FeatureStatus(StrEnum):
    """What stands behind one value of an answer."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


STATUSES = (FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE, FeatureStatus.NOT_FOUND, FeatureStatus.OUTSIDE_MAX_AGE)
PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = range(4)
"""Places in STATUSES, as arrays hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """How a view's rows age; microseconds, None for no limit.

    A row that holds does so until ``covered_until`` if it came after ``covered_from``, until the end of its stretch if
    it lies in one of the ``earlier`` ones; ``emptied_limit`` counts for aggregate rows that do not hold.
    """

    limit: int | None
    emptied_limit: int | None
    covered_until: int | None
    is_aggregate: bool
    serves_expired: bool
    covered_from: int | None = None
    earlier: tuple[tuple[int, int], ...] = ()


def row_rules(view: OnlineViewNode, ref: VersionRef | None) -> RowRules:
    """Read the rules of a view whose version the pointer has under ``ref``; a ttl of None or 0 is no limit.

    Predictions and written on-demand features go by rules of their own (``predictions``, ``written``).
    """
    covered = ref or VersionRef(version=0, storage_id=0)
    if not isinstance(view, ViewNode):
        until = covered.covered_until_us
        return RowRules(limit=None, emptied_limit=None, covered_until=until, is_aggregate=False, serves_expired=True)
    limit = None if not view.ttl else view.ttl // _MICROSECOND
    window = view.longest_window
    return RowRules(
        limit=limit,
        emptied_limit=limit if limit is not None or window is None else window // _MICROSECOND,
        covered_until=covered.covered_until_us if view.is_aggregate else None,
        is_aggregate=view.is_aggregate,
        serves_expired=view.on_expired == "serve",
        covered_from=covered.covered_from_us if view.is_aggregate else None,
        earlier=covered.earlier_us if view.is_aggregate else (),
    )


class ViewRows:
    """The rows of one read.

    ``withheld`` marks present rows whose values are not given out, None where there are none; ``expired`` likewise
    the rows past their age limit. ``reader`` reads the features that are outputs of the answer.
    """

    __slots__ = ("_ages", "_now", "_reader", "_rules", "decoded", "expired", "withheld")

    def __init__(self, decoded: DecodedRows, rules: RowRules, now_us: int, reader: ListReader) -> None:
        self.decoded = decoded
        self._reader = reader
        self._rules = rules
        self._now = now_us
        self._ages: np.ndarray[Any, Any] | None = None
        self.expired = self._find_expired()
        self.withheld = None if rules.serves_expired else self.expired

    @property
    def present(self) -> np.ndarray[Any, Any]:
        return self.decoded.present

    @property
    def age_us(self) -> np.ndarray[Any, Any]:
        """Microseconds since the value was last known to hold; meaningless where no row is present."""
        if self._ages is None:
            self._ages = np.maximum(self._now - self._known_until(), 0)
        return self._ages

    def _known_until(self) -> np.ndarray[Any, Any]:
        """Until when each row is known to hold: its own time, or the end of its covered stretch."""
        rules, event = self._rules, self.decoded.event_us
        if rules.covered_until is None or not rules.is_aggregate:
            return event
        end = np.maximum(event, rules.covered_until)
        if rules.covered_from is not None:
            end = np.where(event > rules.covered_from, end, event)
        for start, stop in rules.earlier:
            end = np.where((event > start) & (event <= stop), stop, end)
        return np.where(self.decoded.holds, end, event)

    def usable(self) -> np.ndarray[Any, Any]:
        """Mark the rows whose values are given out."""
        return self.present if self.withheld is None else self.present & ~self.withheld

    def column(self, feature: str) -> StoredColumn:
        return StoredColumn(self, feature)

    def lists(self) -> list[list[Any]]:
        """Give new lists of Python values for the outputs' features, None where there is no value to give out."""
        lists = self._reader.read(self.decoded)
        if self.withheld is not None:
            for row in np.flatnonzero(self.withheld).tolist():
                for values in lists:
                    values[row] = None
        return lists

    def _find_expired(self) -> np.ndarray[Any, Any] | None:
        rules = self._rules
        limit = rules.limit if rules.limit is not None else rules.emptied_limit
        if limit is None:
            return None
        oldest = self.decoded.oldest_event_us
        if oldest is None or self._now - oldest <= limit or self._is_held(oldest):
            return None
        expired = (self.age_us > limit) & self.decoded.present
        if rules.limit is None:
            expired &= ~self.decoded.holds
        return expired if expired.any() else None

    def _is_held(self, oldest: int) -> bool:
        """Say whether every row holds and the coverage is within the limit, without a look at each age."""
        rules, covered = self._rules, self._rules.covered_until
        if not rules.is_aggregate or not self.decoded.all_hold:
            return False
        if rules.limit is None:
            return True
        if covered is None or self._now - covered > rules.limit:
            return False
        return rules.covered_from is None or oldest > rules.covered_from


class StoredColumn:
    """One feature of the rows of a read, as an output."""

    __slots__ = ("_feature", "_rows")

    def __init__(self, rows: ViewRows, feature: str) -> None:
        self._rows = rows
        self._feature = feature

    def to_list(self) -> list[Any]:
        """Give Python values, None where there is none."""
        values = self._decoded.to_list()
        if self._rows.withheld is not None:
            for row in np.flatnonzero(self._rows.withheld).tolist():
                values[row] = None
        return values

    def column(self) -> Column:
        """Give the values with their validity."""
        decoded = self._decoded
        valid = decoded.valid
        if self._rows.withheld is not None:
            valid = valid & ~self._rows.withheld
        return decoded.values, valid

    def statuses(self) -> np.ndarray[Any, Any]:
        """Give places in STATUSES."""
        rows = self._rows
        codes = np.where(self._decoded.valid, np.int8(PRESENT), np.int8(NULL_VALUE))
        if rows.expired is not None:
            codes[rows.expired] = OUTSIDE_MAX_AGE
        codes[~rows.present] = NOT_FOUND
        return codes

    @property
    def _decoded(self) -> DecodedColumn:
        return self._rows.decoded.columns[self._feature]

    def event_us(self) -> Column:
        return self._rows.decoded.event_us, self._rows.present

    def age_us(self) -> Column:
        return self._rows.age_us, self._rows.present
