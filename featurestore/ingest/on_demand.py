"""On-demand features that are stored with their inputs: computed once for a whole frame, before anything is written."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_schema, arrow_type, as_arrow
from featurestore.codec.stamp import is_newer
from featurestore.codec.value import RowCodec
from featurestore.errors import FeatureNotFound
from featurestore.ingest.frames import RawColumn
from featurestore.ingest.on_demand_routes import OnDemandRoute
from featurestore.ingest.row_choice import RowChoice
from featurestore.ingest.rows import RowChecker
from featurestore.ir.columns import INPUTS_DIGEST, stored_features
from featurestore.ir.nodes import FieldNode, OnDemandViewNode, StoredViewNode, ViewNode
from featurestore.ondemand.arrays import Column, read_column
from featurestore.ondemand.functions import Resolve, run_on_demand
from featurestore.retrieval.plan import OnDemandCall, RequestArgument
from featurestore.runtime.pairs import PairEncoder, pairs_of
from featurestore.serving.code import CodeSource
from featurestore.serving.entity_rows import EntityColumns
from featurestore.serving.frame import Frame
from featurestore.serving.read_keys import ReadKeys, encode_keys
from featurestore.serving.rows import ViewRows
from featurestore.serving.snapshot import BoundPlan, Snapshot
from featurestore.serving.written import Times, is_not_older, later_of
from featurestore.stores.base import OnlineStore

__all__ = ["OnDemandPairs", "OnDemandRows", "OwnValues", "own_values"]


@dataclass(frozen=True, slots=True)
class OwnValues:
    """The frame's valid rows as one view will have them: key and value of each."""

    keys: Sequence[bytes]
    values: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandPairs:
    """The rows of one on-demand view that are to be written, each key once; ``ignored`` rows say nothing new."""

    view: OnDemandViewNode
    pairs: Sequence[tuple[bytes, bytes]]
    expire_at_ms: Sequence[int]
    ignored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    route: OnDemandRoute
    times: Times
    bound: BoundPlan
    call: OnDemandCall
    columns: EntityColumns
    keys: ReadKeys

    @property
    def own_keys(self) -> Sequence[bytes | None]:
        assert self.call.row is not None
        return self.keys.lists[self.call.row]


class OnDemandRows:
    """Computes what the ``routes`` of one frame give, from the frame's valid rows and what is stored beside them."""

    def __init__(
        self,
        store: OnlineStore,
        snapshot: Snapshot,
        code: CodeSource,
        checker: RowChecker,
        routes: Sequence[OnDemandRoute],
        *,
        now_us: int,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._code = code
        self._checker = checker
        self._rows = np.flatnonzero(~checker.checks.invalid)
        self._now_us = now_us
        self.skipped: dict[str, str] = {}
        """The views that cannot be computed now, and why; lookups compute them."""
        self._planned = [planned for route in routes if (planned := self._plan(route)) is not None]

    def pairs(self, own: Mapping[str, OwnValues]) -> list[OnDemandPairs]:
        """Give the rows to write. ``own`` has the rows written beside them, by view: they count as stored where newer.

        One round trip for all that is stored. OnDemandFailed where a function fails; nothing was written then.
        """
        if not self._planned or not len(self._rows):
            return []
        stored = self._read()
        newest = dict(stored)
        for values in own.values():
            for key, value in zip(values.keys, values.values, strict=True):
                if is_newer(value, newest.get(key)):
                    newest[key] = value
        resolve = self._resolve()
        return [self._pairs(planned, own, stored, newest, resolve) for planned in self._planned]

    def _plan(self, route: OnDemandRoute) -> _Planned | None:
        view = route.view
        try:
            bound = self._snapshot.bound([f"{view.name}:{field.name}" for field in view.features], True)
        except FeatureNotFound as error:  # an input's served version is older than the applied one
            self.skipped[view.name] = str(error)
            return None
        [call] = bound.plan.calls
        names = dict.fromkeys(name for read in bound.reads for _, name in read.columns)
        frame = self._checker.frame.columns
        columns = EntityColumns(len(self._rows), {name: _taken(frame[name], self._rows) for name in names})
        event_us, created_us = self._checker.times(route.times)
        return _Planned(
            route=route,
            times=(event_us[self._rows], created_us[self._rows]),
            bound=bound,
            call=call,
            columns=columns,
            keys=encode_keys(bound, columns),
        )

    def _read(self) -> dict[bytes, bytes | None]:
        lists = [keys for planned in self._planned for keys in planned.keys.lists]
        wanted = list(dict.fromkeys(key for keys in lists for key in keys if key is not None))
        return dict(zip(wanted, self._store.read(wanted), strict=True))

    def _resolve(self) -> Resolve:
        """Have the code at hand that the manifest of this write names."""
        digest = self._snapshot.manifest.code
        if not all(planned.route.is_finished for planned in self._planned):
            wanted = self._code.wanted(digest)
            self._code.take(digest, self._store.read(list(wanted)) if wanted else ())
        return functools.partial(self._code.resolve, archive=digest)

    def _pairs(
        self,
        planned: _Planned,
        own: Mapping[str, OwnValues],
        stored: Mapping[bytes, bytes | None],
        newest: Mapping[bytes, bytes | None],
        resolve: Resolve,
    ) -> OnDemandPairs:
        route, call = planned.route, planned.call
        blobs = [[None if key is None else newest.get(key) for key in keys] for keys in planned.keys.lists]
        frame = self._frame(planned, blobs, stored)
        stands = self._standing(planned, own, blobs)
        features = self._features(route, frame, call, resolve) if stands.any() else {}
        if not features:
            return OnDemandPairs(view=route.view, pairs=(), expire_at_ms=(), ignored=len(self._rows))
        times, latest = planned.times, frame.inputs(0).latest()
        if not route.is_statement:
            times = later_of(times, latest)
        elif not route.view.request:  # else it is what a request without those values is answered with
            stands &= is_not_older(times, latest)
        values = RowCodec(stored_features(route.view)).encode(
            self._table(route, features, frame), event_us=times[0], created_us=times[1]
        )
        kept: dict[bytes, int] = {}
        for row in np.flatnonzero(stands).tolist():
            key = planned.own_keys[row]
            if key is not None and (key not in kept or is_newer(values[row], values[kept[key]])):
                kept[key] = row
        written = frame.written(0)
        assert written is not None
        choose = RowChoice(written, is_statement=route.is_statement)
        pairs = [
            (key, chosen)
            for key, row in kept.items()
            if (chosen := choose.value(row, values[row], stored.get(key))) is not None
        ]
        expiry = 0 if route.is_statement else self._expiry(planned)
        return OnDemandPairs(
            view=route.view,
            pairs=pairs,
            expire_at_ms=[expiry] * len(pairs),
            ignored=len(self._rows) - len(pairs),
        )

    def _frame(self, planned: _Planned, blobs: list[list[bytes | None]], stored: Mapping[bytes, bytes | None]) -> Frame:
        """Make what a lookup after this write would see, the view's own rows as they are before."""
        blobs = list(blobs)
        assert planned.call.row is not None
        blobs[planned.call.row] = [None if key is None else stored.get(key) for key in planned.own_keys]
        rows = [
            ViewRows(read.values.decode(found), read.rules, self._now_us, read.reader)
            for read, found in zip(planned.bound.reads, blobs, strict=True)
        ]
        return Frame(planned.bound.plan, rows, planned.columns)

    def _standing(
        self, planned: _Planned, own: Mapping[str, OwnValues], blobs: Sequence[Sequence[bytes | None]]
    ) -> np.ndarray[Any, Any]:
        """Mark the rows that say how a source view stands; a row that is older than what is stored says nothing."""
        if planned.route.beside is None:
            return np.ones(len(self._rows), np.bool_)
        stands = np.zeros(len(self._rows), np.bool_)
        for read in planned.call.reads:
            values = own.get(planned.bound.plan.reads[read].view.name)
            if values is not None:
                pairs = zip(blobs[read], values.values, strict=True)
                stands |= np.fromiter((found == value for found, value in pairs), np.bool_, len(stands))
        return stands

    def _features(
        self, route: OnDemandRoute, frame: Frame, call: OnDemandCall, resolve: Resolve
    ) -> dict[str, pa.Array[Any]]:
        if route.is_finished:
            return {field.name: self._column(field.name, field.dtype) for field in route.view.features}
        given = {field.name: field.dtype for field in (*route.inputs, *route.view.request)}
        inputs: dict[str, Column] = {}
        for argument in call.arguments:
            if argument.name in given:
                dtype = given[argument.name]
                inputs[argument.name] = _as_column(self._column(argument.name, dtype), dtype)
            else:
                assert not isinstance(argument, RequestArgument)
                inputs[argument.name] = frame.argument(argument)
        outputs = run_on_demand(route.view, inputs, resolve)
        return {field.name: as_arrow(*outputs[field.name], field.dtype) for field in route.view.features}

    def _table(self, route: OnDemandRoute, features: dict[str, pa.Array[Any]], frame: Frame) -> pa.Table:
        fields = stored_features(route.view)
        columns = dict(features)
        for field in route.view.request:
            if not route.is_statement:
                columns[field.name] = self._column(field.name, field.dtype)
        if not route.is_statement:
            columns[INPUTS_DIGEST] = pa.array(frame.inputs(0).digest(), pa.int64())
        for field in fields:
            if field.name not in columns:
                columns[field.name] = pa.array([None] * len(self._rows), arrow_type(field.dtype))
        return pa.table({field.name: columns[field.name] for field in fields}, schema=arrow_schema(fields))

    def _column(self, name: str, dtype: Any) -> pa.Array[Any]:
        return self._checker.column(FieldNode(name=name, dtype=dtype), name).take(self._rows)

    def _expiry(self, planned: _Planned) -> int:
        """Keep computed rows as long as their inputs may be read, for ever where one of those is."""
        ends = []
        for read in planned.call.reads:
            view = planned.bound.plan.reads[read].view
            assert isinstance(view, ViewNode)
            encoder = PairEncoder(project_id=1, view=view, now_ms=self._now_us // 1000)
            ends.append(0 if view.is_aggregate else encoder.expiry_of_any())
        return 0 if not ends or 0 in ends else max(ends)


def own_values(pairs: Sequence[tuple[StoredViewNode, pa.RecordBatch]]) -> dict[str, OwnValues]:
    """Give the values of the feature views among encoded rows; those have one row for each valid row of the frame."""
    found: dict[str, OwnValues] = {}
    for node, batch in pairs:
        if isinstance(node, ViewNode):
            found[node.name] = OwnValues(*zip(*pairs_of(batch), strict=True)) if len(batch) else OwnValues((), ())
    return found


def _taken(column: RawColumn, rows: np.ndarray[Any, Any]) -> Any:
    if isinstance(column, pa.Array):
        return column.take(rows)
    if isinstance(column, np.ndarray):
        return column[rows]
    return [column[row] for row in rows.tolist()]


def _as_column(array: pa.Array[Any], dtype: Any) -> Column:
    """Read a column of the frame as functions get it."""
    is_plain = array.null_count == 0 and not pa.types.is_nested(array.type)
    return read_column(dtype, array.to_numpy(zero_copy_only=False) if is_plain else array.to_pylist())
