"""The checked rows of one write: typed columns, stamps, and the packed pairs of each view version that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.keys import KeyCodec
from featurestore.ingest.checks import Checks
from featurestore.ingest.frames import Frame
from featurestore.ingest.on_demand_routes import OnDemandRoute
from featurestore.ingest.routing import Route, TimeColumns
from featurestore.ingest.values import check_keys, typed_column
from featurestore.intervals import from_micros, show_duration, show_instant
from featurestore.ir.columns import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    INPUTS_DIGEST,
    INPUTS_TIMESTAMP,
    IS_DELETED,
    key_fields,
)
from featurestore.ir.nodes import FieldNode, PredictionViewNode, StoredViewNode
from featurestore.runtime.pairs import PairEncoder
from featurestore.spec.dtypes import Int64, Timestamp

__all__ = ["CheckedRows", "RowChecker", "encode_pairs", "table_rows"]

_MICROS = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRows:
    """What one route takes of the frame. ``kept`` marks the rows: all of them but those that say nothing.

    ``event_us`` is the accept time where the frame gives no event time; ``is_dated`` marks where it does.
    """

    route: Route
    event_us: np.ndarray[Any, Any]
    created_us: np.ndarray[Any, Any]
    is_dated: np.ndarray[Any, Any]
    kept: np.ndarray[Any, Any]


class RowChecker:
    """Types the columns of one frame, each once, and notes every problem in ``checks``."""

    def __init__(self, frame: Frame, checks: Checks, *, accepted_us: int, max_future_skew: timedelta) -> None:
        self.frame = frame
        self.checks = checks
        self._accepted_us = accepted_us
        self._skew = max_future_skew
        self._typed: dict[tuple[str, FieldNode], pa.Array[Any]] = {}
        self._known_times: dict[str | None, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}

    def check(self, route: Route) -> CheckedRows:
        """Look at each row that the route takes: keys, times, values."""
        count = self.frame.count
        fields = key_fields(route.view)
        self._check_keys(fields)
        event_us, is_dated = self._times(route.times.event)
        created_us, _ = self._times(route.times.created)
        features = {field.name: field for field in route.view.features}
        values = [self.column(features[name], column) for name, column in route.columns]
        kept = np.ones(count, np.bool_)
        if isinstance(route.view, PredictionViewNode):
            is_null = np.logical_and.reduce([np.asarray(value.is_null()) for value in values])
            if route.is_attached:
                kept = ~is_null
            elif is_null.any():
                rows = np.flatnonzero(is_null & ~self.checks.invalid).tolist()
                self.checks.add(route.columns[0][1], "null prediction", rows, "a prediction is null; leave the row out")
        return CheckedRows(route=route, event_us=event_us, created_us=created_us, is_dated=is_dated, kept=kept)

    def check_on_demand(self, route: OnDemandRoute) -> None:
        """Look at what an on-demand view takes of each row; the keys of a route beside it were looked at there."""
        beside = () if route.beside is None else key_fields(route.beside.view)
        self._check_keys(tuple(field for field in route.view.join_keys if field not in beside))
        for field in route.columns:
            self.column(field, field.name)
        self.times(route.times)

    def times(self, names: TimeColumns) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Give event and created time of each row in microseconds, accepted now where there is none."""
        return self._times(names.event)[0], self._times(names.created)[0]

    def column(self, field: FieldNode, name: str) -> pa.Array[Any]:
        """Give a column of the frame in a field's type."""
        identity = (name, field)
        if identity not in self._typed:
            named = FieldNode(name=name, dtype=field.dtype)
            self._typed[identity] = typed_column(named, self.frame.columns[name], self.checks)
        return self._typed[identity]

    def numbers(self, name: str) -> np.ndarray[Any, Any] | None:
        """Give an optional column of digests as int64, zero where null; None where the frame lacks it."""
        if name not in self.frame.columns:
            return None
        found = self.column(FieldNode(name=name, dtype=Int64), name)
        return np.asarray(found.fill_null(0).to_numpy(zero_copy_only=False), np.int64)

    def instants(self, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Give an optional column of instants as microseconds and where they are given."""
        if name not in self.frame.columns:
            return None
        found = self.column(FieldNode(name=name, dtype=Timestamp), name)
        micros = found.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return np.asarray(micros, np.int64), np.asarray(found.is_valid())

    def _check_keys(self, fields: tuple[FieldNode, ...]) -> None:
        if fields:
            # Ids do not matter here: any will do to see whether the parts make a key.
            codec = KeyCodec(project_id=1, storage_id=1, fields=fields)
            check_keys(codec, {field.name: self.frame.columns[field.name] for field in fields}, self.checks)

    def _times(self, name: str | None) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Give microseconds for each row, accepted now where there is none; rows from the future are problems."""
        if name not in self._known_times:
            self._known_times[name] = self._look_at_times(name)
        return self._known_times[name]

    def _look_at_times(self, name: str | None) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        accepted = np.full(self.frame.count, self._accepted_us, np.int64)
        found = None if name is None else self.instants(name)
        if name is None or found is None:
            return accepted, np.zeros(self.frame.count, np.bool_)
        micros, given = found
        limit = self._accepted_us + self._skew // timedelta(microseconds=1)
        late = np.flatnonzero(given & (micros > limit)).tolist()
        if late:
            message = (
                f"found {show_instant(from_micros(int(micros[late[0]])))}, more than {show_duration(self._skew)} "
                f"(max_future_skew) ahead of now, {show_instant(from_micros(self._accepted_us))}"
            )
            self.checks.add(name, "future", late, message)
        return np.where(given, micros, accepted), given


def table_rows(
    checker: RowChecker,
    rows: CheckedRows,
    node: StoredViewNode,
    selected: np.ndarray[Any, Any],
    provenance: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> pa.RecordBatch:
    """Give the selected rows as rows of the view version's table, less what a run adds.

    ``provenance`` has a prediction's digest and inputs' time.
    """
    named = dict(rows.route.columns)
    columns: dict[str, Any] = {field.name: checker.column(field, field.name) for field in key_fields(node)}
    columns[EVENT_TIMESTAMP] = _instants(rows.event_us)
    columns[CREATED_TIMESTAMP] = _instants(rows.created_us)
    columns[IS_DELETED] = pa.array(np.zeros(checker.frame.count, np.bool_))
    for field in node.features:
        columns[field.name] = checker.column(field, named.get(field.name, field.name))
    if provenance is not None:
        columns[INPUTS_DIGEST] = pa.array(provenance[INPUTS_DIGEST], pa.int64())
        columns[INPUTS_TIMESTAMP] = _instants(provenance[INPUTS_TIMESTAMP])
    return pa.record_batch(columns).filter(pa.array(selected))


def encode_pairs(batch: pa.RecordBatch, node: StoredViewNode, *, project_id: int, now_us: int) -> pa.RecordBatch:
    """Encode table rows as online pairs, by the publication's own rules."""
    return PairEncoder(project_id=project_id, view=node, now_ms=now_us // 1000).encode(batch)


def _instants(micros: np.ndarray[Any, Any]) -> pa.Array[Any]:
    return pa.array(micros, pa.int64()).cast(_MICROS)
