"""Cached predictions judged: fresh, stale or missing, and what an answer says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from featurestore.errors import InferenceFailed
from featurestore.intervals import from_micros
from featurestore.ir.columns import INPUTS_DIGEST
from featurestore.ir.nodes import PredictionViewNode
from featurestore.ondemand.arrays import Column, python_values
from featurestore.serving.freshness import (
    CACHED,
    FAILED,
    LIVE,
    MISSING,
    PREDICTION_STATUSES,
    STALE,
    Freshness,
    JudgedRows,
    PredictionStatus,
)
from featurestore.serving.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT, ViewRows
from featurestore.serving.snapshot import BoundPrediction

__all__ = [
    "CACHED",
    "FAILED",
    "LIVE",
    "MISSING",
    "STALE",
    "LiveRows",
    "PredictionAnswer",
    "PredictionColumn",
    "PredictionRows",
    "PredictionStatus",
]


class PredictionAnswer(NamedTuple):
    """What stands behind one prediction; age, version and time are None where there is no prediction."""

    status: PredictionStatus
    age: timedelta | None
    model_version: str | None
    predicted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRows:
    """Predictions made for ``rows`` of the request since they were read, by this call or by one that it waited for.

    ``failed`` marks rows for which there is none; ``error`` says why.
    """

    rows: np.ndarray[Any, Any]
    columns: Mapping[str, Column]
    event_us: np.ndarray[Any, Any]
    predicted_us: np.ndarray[Any, Any]
    failed: np.ndarray[Any, Any]
    error: InferenceFailed | None = None


class PredictionRows:
    """The rows of one prediction view in a request, judged at ``now_us``, with what was then made or withheld."""

    def __init__(self, bound: BoundPrediction, rows: Sequence[ViewRows], *, now_us: int) -> None:
        plan = bound.plan
        self.view: PredictionViewNode = plan.view
        self.own = rows[plan.read]
        self.index = bound.index
        self._plan = plan
        self._previous_rows = None if plan.previous is None else rows[plan.previous]
        self.now_us = now_us
        self._hidden: np.ndarray[Any, Any] | None = None
        self._live: LiveRows | None = None
        self._freshness = Freshness(bound, rows, now_us)
        self.is_fresh = self._freshness.is_all_fresh()

    @property
    def _judged(self) -> JudgedRows:
        return self._freshness.judged

    @property
    def digest(self) -> np.ndarray[Any, Any] | None:
        """The digest of each row's inputs as they were read just now; None for a view without inputs."""
        return self._freshness.digest

    @property
    def codes(self) -> np.ndarray[Any, Any]:
        """Give each row's place in PredictionStatus."""
        return self._judged.codes

    @property
    def present(self) -> np.ndarray[Any, Any]:
        """Mark the rows that have a prediction, whatever its age."""
        return self._judged.present

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
            predicted_us=live.predicted_us[good],
            failed=live.failed[good],
        )
        places = self._live.rows
        judged = self._judged
        judged.codes[places] = LIVE
        for name, value in (
            ("present", True),
            ("event", self._live.event_us),
            ("predicted", self._live.predicted_us),
            ("until", self.now_us),
        ):
            changed = getattr(judged, name).copy()
            changed[places] = value
            setattr(judged, name, changed)

    def answers(self) -> list[PredictionAnswer]:
        """Give one answer for each row."""
        served = self.present if self._hidden is None else self.present & ~self._hidden
        current, older = self.view.model.version, self._plan.previous_model
        ages, predicted, taken = self._ages, self._judged.predicted, self._judged.older
        answers = []
        for row, (code, is_served) in enumerate(zip(self.codes.tolist(), served.tolist(), strict=True)):
            if not is_served and code != STALE:
                answers.append(PredictionAnswer(PREDICTION_STATUSES[code], None, None, None))
                continue
            version = older if taken is not None and taken[row] and code != LIVE else current
            answers.append(
                PredictionAnswer(
                    PREDICTION_STATUSES[code],
                    timedelta(microseconds=int(ages[row])),
                    version,
                    from_micros(int(predicted[row])),
                )
            )
        return answers

    def column(self, feature: str) -> PredictionColumn:
        return PredictionColumn(self, feature)

    def values(self, feature: str) -> Column:
        """Give a feature's values with all that was put and hidden."""
        values, valid = self.own.column(feature).column()
        if self.is_as_stored():
            return values, valid
        values = values.copy()
        valid = self.own.present.copy() if valid is None else valid.copy()
        older = self._judged.older
        if older is not None and self._previous_rows is not None:
            older_values, older_valid = self._previous_rows.column(feature).column()
            values[older] = older_values[older]
            valid[older] = True if older_valid is None else older_valid[older]
        if self._live is not None:
            live_values, live_valid = self._live.columns[feature]
            values[self._live.rows] = live_values
            valid[self._live.rows] = True if live_valid is None else live_valid
        if self._hidden is not None:
            valid &= ~self._hidden
        return values, valid

    def is_as_stored(self) -> bool:
        """Say whether every row is given out as it was read."""
        if self._live is not None or self._hidden is not None:
            return False
        return self.is_fresh or self._judged.older is None

    def ageing(self, ahead: timedelta) -> np.ndarray[Any, Any]:
        """Give the places of fresh rows whose age reaches ``max_age`` within ``ahead``."""
        limit = self.view.max_age
        if limit is None:
            return np.empty(0, dtype=np.intp)
        ends = (limit - ahead) // timedelta(microseconds=1)
        return np.flatnonzero((self.codes == CACHED) & (self.now_us - self._judged.until > ends))

    def digests(self) -> Column:
        """Give the digest of the inputs that each prediction was made from."""
        if self.digest is None:
            none = np.zeros(len(self.codes), dtype=bool)
            return np.zeros(len(self.codes), dtype=np.int64), none
        digests = self.own.decoded.columns[INPUTS_DIGEST].values.copy()
        older = self._judged.older
        if older is not None and self._previous_rows is not None:
            digests[older] = self._previous_rows.decoded.columns[INPUTS_DIGEST].values[older]
        if self._live is not None:
            digests[self._live.rows] = self.digest[self._live.rows]
        return digests, self.present

    def times(self) -> tuple[Column, Column]:
        """Give event times and ages, microseconds."""
        return (self._judged.event, self.present), (self._ages, self.present)

    @property
    def _ages(self) -> np.ndarray[Any, Any]:
        ages: np.ndarray[Any, Any] = np.maximum(self.now_us - self._judged.until, 0)
        return ages


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
