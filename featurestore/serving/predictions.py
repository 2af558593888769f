"""Cached predictions judged: fresh, stale or missing, and what an answer says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from featurestore.codec.digest import inputs_digest
from featurestore.intervals import from_micros
from featurestore.ir.columns import INPUTS_DIGEST
from featurestore.ir.nodes import PredictionViewNode
from featurestore.ondemand.arrays import Column, python_values
from featurestore.retrieval.plan import PredictionPlan
from featurestore.serving.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT, ViewRows

__all__ = ["LiveRows", "PredictionAnswer", "PredictionColumn", "PredictionRows", "PredictionStatus"]

_MICROSECOND = timedelta(microseconds=1)


class PredictionStatus(StrEnum):
    """Where a prediction comes from: the cache (fresh or not), inference in this call, or nowhere."""

    CACHED = "CACHED"
    STALE = "STALE"
    MISSING = "MISSING"
    LIVE = "LIVE"
    FAILED = "FAILED"


_STATUSES = tuple(PredictionStatus)
CACHED, STALE, MISSING, LIVE, FAILED = range(5)
"""Places in PredictionStatus, as arrays hold them."""


class PredictionAnswer(NamedTuple):
    """What stands behind one prediction; age, version and time are None where there is no prediction."""

    status: PredictionStatus
    age: timedelta | None
    model_version: str | None
    predicted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRows:
    """Predictions made in this call for ``rows`` of the request; ``failed`` marks where the model gave NaN."""

    rows: np.ndarray[Any, Any]
    columns: Mapping[str, Column]
    event_us: np.ndarray[Any, Any]
    predicted_us: int
    failed: np.ndarray[Any, Any]


class PredictionRows:
    """The rows of one prediction view in a request, judged at ``now_us``.

    Fresh are rows (1) of the current version, (2) whose age, counted from the later of predicted_at and, while the
    inputs are unchanged, the last scoring step, is within ``max_age``, and (3) whose inputs are unchanged, which
    nothing is held to while the inputs' publication ``awaits_scoring``. ``stale_on`` switches each rule.
    """

    def __init__(
        self,
        plan: PredictionPlan,
        rows: Sequence[ViewRows],
        *,
        now_us: int,
        scored_until_us: int | None,
        awaits_scoring: bool = False,
    ) -> None:
        own = rows[plan.read]
        self.view: PredictionViewNode = plan.view
        self._previous_model = plan.previous_model
        self.own = own
        self.digest = inputs_digest([_header(rows[index]) for index in plan.inputs]) if plan.inputs else None
        self._previous: ViewRows | None = None
        self._older: np.ndarray[Any, Any] | None = None
        self._hidden: np.ndarray[Any, Any] | None = None
        self._live: LiveRows | None = None
        self.present = own.present
        self._event = own.decoded.event_us
        self._predicted = own.decoded.created_us
        stored = own.decoded.columns[INPUTS_DIGEST].values if self.digest is not None else None
        if plan.previous is not None and not self.present.all():
            older = rows[plan.previous]
            taken = older.present & ~self.present
            if taken.any():
                self._previous, self._older = older, taken
                self._event = np.where(taken, older.decoded.event_us, self._event)
                self._predicted = np.where(taken, older.decoded.created_us, self._predicted)
                self.present = self.present | taken
                if stored is not None:
                    stored = np.where(taken, older.decoded.columns[INPUTS_DIGEST].values, stored)
        unchanged = None if stored is None else stored == self.digest
        if unchanged is not None and unchanged.all():
            unchanged = None
        self._now = now_us
        self._until = self._last_known(unchanged, scored_until_us)
        self.stale = self._find_stale(unchanged, awaits_scoring)
        self.is_fresh = self.stale is None and bool(self.present.all())
        self.codes = self._first_codes()

    def needing(self) -> np.ndarray[Any, Any]:
        """Give the places of rows that are stale or missing."""
        return np.flatnonzero(self.codes != CACHED)

    def hide(self, rows: np.ndarray[Any, Any], code: int) -> None:
        """Give no value for these rows, and say why."""
        if len(rows):
            if self._hidden is None:
                self._hidden = np.zeros(len(self.codes), dtype=bool)
            self._hidden[rows] = True
            self.codes[rows] = code

    def put(self, live: LiveRows) -> None:
        """Take predictions made in this call; rows that failed keep what they had."""
        good = ~live.failed
        self._live = LiveRows(
            rows=live.rows[good],
            columns={name: (v[good], None if ok is None else ok[good]) for name, (v, ok) in live.columns.items()},
            event_us=live.event_us[good],
            predicted_us=live.predicted_us,
            failed=live.failed[good],
        )
        places = self._live.rows
        self.codes[places] = LIVE
        self.present = self.present.copy()
        self.present[places] = True
        self._event, self._predicted, self._until = (self._event.copy(), self._predicted.copy(), self._until.copy())
        self._event[places] = self._live.event_us
        self._predicted[places] = live.predicted_us
        self._until[places] = self._now

    def answers(self) -> list[PredictionAnswer]:
        """Give one answer for each row."""
        served = self.present if self._hidden is None else self.present & ~self._hidden
        current, older = self.view.model.version, self._previous_model
        ages = self._ages
        answers = []
        for row, (code, is_served) in enumerate(zip(self.codes.tolist(), served.tolist(), strict=True)):
            if not is_served and code != STALE:
                answers.append(PredictionAnswer(_STATUSES[code], None, None, None))
                continue
            version = older if self._older is not None and self._older[row] and code != LIVE else current
            answers.append(
                PredictionAnswer(
                    _STATUSES[code],
                    timedelta(microseconds=int(ages[row])),
                    version,
                    from_micros(int(self._predicted[row])),
                )
            )
        return answers

    def column(self, feature: str) -> PredictionColumn:
        return PredictionColumn(self, feature)

    def values(self, feature: str) -> Column:
        """Give a feature's values with all that was put and hidden."""
        values, valid = self.own.column(feature).column()
        if self._previous is None and self._live is None and self._hidden is None:
            return values, valid
        values = values.copy()
        valid = self.own.present.copy() if valid is None else valid.copy()
        if self._previous is not None and self._older is not None:
            older_values, older_valid = self._previous.column(feature).column()
            values[self._older] = older_values[self._older]
            valid[self._older] = True if older_valid is None else older_valid[self._older]
        if self._live is not None:
            live_values, live_valid = self._live.columns[feature]
            values[self._live.rows] = live_values
            valid[self._live.rows] = True if live_valid is None else live_valid
        if self._hidden is not None:
            valid &= ~self._hidden
        return values, valid

    def is_as_stored(self) -> bool:
        """Say whether every row is given out as it was read."""
        return self._previous is None and self._live is None and self._hidden is None

    def times(self) -> tuple[Column, Column]:
        """Give event times and ages, microseconds."""
        return (self._event, self.present), (self._ages, self.present)

    @property
    def _ages(self) -> np.ndarray[Any, Any]:
        ages: np.ndarray[Any, Any] = np.maximum(self._now - self._until, 0)
        return ages

    def _last_known(self, unchanged: np.ndarray[Any, Any] | None, scored_until_us: int | None) -> np.ndarray[Any, Any]:
        """Give when each prediction was last known to be right; ``unchanged`` None says that all inputs are."""
        if scored_until_us is None:
            return self._predicted
        scored = np.maximum(self._predicted, scored_until_us)
        return scored if unchanged is None else np.where(unchanged, scored, self._predicted)

    def _find_stale(self, unchanged: np.ndarray[Any, Any] | None, awaits_scoring: bool) -> np.ndarray[Any, Any] | None:
        view, stale = self.view, None
        if "age" in view.stale_on and view.max_age and len(self._until):
            limit = view.max_age // _MICROSECOND
            if self._now - int(self._until.min()) > limit:
                stale = self._now - self._until > limit
        if "inputs" in view.stale_on and unchanged is not None and not awaits_scoring:
            stale = ~unchanged if stale is None else stale | ~unchanged
        if "version" in view.stale_on and self._older is not None:
            stale = self._older if stale is None else stale | self._older
        if stale is None:
            return None
        stale = stale & self.present
        return stale if stale.any() else None

    def _first_codes(self) -> np.ndarray[Any, Any]:
        if self.is_fresh:
            return np.zeros(len(self.present), dtype=np.int8)
        codes = np.where(self.present, np.int8(CACHED), np.int8(MISSING))
        if self.stale is not None:
            codes[self.stale] = STALE
        return codes


class PredictionColumn:
    """One output of a prediction view, as an output of the answer."""

    __slots__ = ("_feature", "_rows")

    def __init__(self, rows: PredictionRows, feature: str) -> None:
        self._rows = rows
        self._feature = feature

    def to_list(self) -> list[Any]:
        """Give Python values, None where there is none."""
        if self._rows.is_as_stored():
            return self._rows.own.column(self._feature).to_list()
        return python_values(self._rows.values(self._feature))

    def column(self) -> Column:
        return self._rows.values(self._feature)

    def statuses(self) -> np.ndarray[Any, Any]:
        """Give a value's status: stale ones are outside their age, missing and failed ones not found."""
        values, valid = self._rows.values(self._feature)
        codes = np.full(len(values), PRESENT, dtype=np.int8)
        if valid is not None:
            codes[~valid] = NULL_VALUE
        codes[self._rows.codes == STALE] = OUTSIDE_MAX_AGE
        codes[(self._rows.codes == MISSING) | (self._rows.codes == FAILED)] = NOT_FOUND
        return codes

    def event_us(self) -> Column:
        return self._rows.times()[0]

    def age_us(self) -> Column:
        return self._rows.times()[1]


def _header(rows: ViewRows) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return rows.present, rows.decoded.event_us, rows.decoded.created_us
