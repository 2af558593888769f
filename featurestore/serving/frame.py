"""All that one request read, as inputs for on-demand functions and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from featurestore.errors import EntityKeyMissing
from featurestore.ondemand.arrays import Column, ValueMismatch, python_values, read_column, take_column
from featurestore.ondemand.functions import Resolve, resolve_code, run_on_demand
from featurestore.retrieval.plan import (
    Argument,
    ComputedArgument,
    OnDemandCall,
    RequestArgument,
    RequestPlan,
    StoredArgument,
)
from featurestore.serving.entity_rows import EntityColumns
from featurestore.serving.rows import NOT_FOUND, NULL_VALUE, PRESENT, ViewRows
from featurestore.serving.written import InputRows, WrittenRows

__all__ = ["ComputedColumn", "Frame"]


class Frame:
    """The rows of a request and the on-demand features over them, each computed once."""

    __slots__ = ("_answers", "_computed", "_plan", "_request", "_resolve", "_rows")

    def __init__(
        self, plan: RequestPlan, rows: Sequence[ViewRows], request: EntityColumns, resolve: Resolve = resolve_code
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._request = request
        self._resolve = resolve
        self._computed: dict[int, dict[str, Column]] = {}
        self._answers: dict[int, _Answer] = {}

    @property
    def count(self) -> int:
        return self._request.count

    @property
    def rows(self) -> Sequence[ViewRows]:
        return self._rows

    def argument(self, argument: Argument) -> Column:
        """Give the column of one input, for all rows."""
        match argument:
            case StoredArgument():
                return self._rows[argument.read].column(argument.feature).column()
            case ComputedArgument():
                return self.call(argument.call)[argument.feature]
            case RequestArgument():
                return self._requested(argument)
            case _:
                assert_never(argument)

    def call(self, index: int) -> dict[str, Column]:
        """Compute the features of an on-demand view for all rows, as models get them."""
        computed = self._computed.get(index)
        if computed is None:
            call = self._plan.calls[index]
            inputs = {argument.name: self.argument(argument) for argument in call.arguments}
            computed = self._computed[index] = run_on_demand(call.view, inputs, self._resolve)
        return computed

    def needs_code(self, index: int) -> bool:
        """Say whether an on-demand view's function has to run for its outputs."""
        answer = self._answer(index)
        return answer.written is None or answer.computed is not None

    def column(self, index: int, feature: str) -> ComputedColumn:
        """Give an on-demand feature as an output: as it was written where that holds, else computed."""
        answer = self._answer(index)
        return ComputedColumn(self.compute(index)[feature], answer.times, answer.found)

    def compute(self, index: int) -> dict[str, Column]:
        """Give the outputs of an on-demand view; its function runs for the rows that need it, once."""
        answer = self._answer(index)
        if answer.features is None:
            answer.features = self._features(index, answer)
        return answer.features

    def written(self, index: int) -> WrittenRows | None:
        """Judge what was written of an on-demand view; None for one that is not written."""
        row = self._plan.calls[index].row
        return None if row is None else WrittenRows(self._rows[row], self.inputs(index))

    def inputs(self, index: int) -> InputRows:
        """Give the stored rows that an on-demand view reads."""
        reads = self._plan.calls[index].reads
        ids = tuple(self._plan.reads[read].view.storage_id for read in reads)
        return InputRows([self._rows[read] for read in reads], ids, self.count)

    def _answer(self, index: int) -> _Answer:
        found = self._answers.get(index)
        if found is None:
            found = self._answers[index] = self._judge(index)
        return found

    def _judge(self, index: int) -> _Answer:
        """Say which rows are answered as they were written and which are to be computed."""
        call = self._plan.calls[index]
        times = self._times(call)
        if call.row is None or self._is_requested(call):
            return _Answer(times=times)
        written = self.written(index)
        assert written is not None
        kept, found = written.holds, None
        if call.view.request:  # nothing to compute with but what a computed row was stored with
            kept, found = kept | written.states, written.rows.present
        rows = np.flatnonzero(~kept if found is None else found & ~kept)
        return _Answer(
            written=written.rows,
            computed=rows if len(rows) else None,
            found=found,
            times=_stated(times, written, kept),
        )

    def _features(self, index: int, answer: _Answer) -> dict[str, Column]:
        call = self._plan.calls[index]
        rows, written = answer.computed, answer.written
        if written is None:
            return self.call(index)
        stored = {field.name: written.column(field.name).column() for field in call.view.features}
        if rows is None:
            return stored
        if index in self._computed and not call.view.request:
            computed = {name: take_column(column, rows) for name, column in self._computed[index].items()}
        else:
            inputs = {argument.name: take_column(self._input(argument, written), rows) for argument in call.arguments}
            computed = run_on_demand(call.view, inputs, self._resolve)
        return {name: _replaced(column, rows, computed[name]) for name, column in stored.items()}

    def _input(self, argument: Argument, written: ViewRows) -> Column:
        if isinstance(argument, RequestArgument):
            return written.column(argument.name).column()
        return self.argument(argument)

    def _is_requested(self, call: OnDemandCall) -> bool:
        """Say whether the request has the values that the function needs; some of them are an error."""
        names = [field.name for field in call.view.request]
        missing = [name for name in names if name not in self._request.columns]
        if missing and len(missing) < len(names):
            raise EntityKeyMissing(
                f"the request lacks {', '.join(map(repr, missing))}, which on-demand view {call.view.name!r} needs "
                f"beside {', '.join(repr(name) for name in names if name not in missing)}; give all of them, or none "
                "to read what was written",
                missing=missing,
            )
        return bool(names) and not missing

    def _requested(self, argument: RequestArgument) -> Column:
        try:
            return read_column(argument.dtype, self._request.columns[argument.column], count=self.count)
        except ValueMismatch as error:
            raise EntityKeyMissing(f"request field {argument.column!r}: {error}", column=argument.column) from error

    def _times(self, call: OnDemandCall) -> tuple[Column, Column]:
        none = np.zeros(self.count, dtype=bool)
        event = np.zeros(self.count, dtype=np.int64), none
        age = event
        for read in call.reads:
            rows = self._rows[read]
            event = _latest(event, (rows.decoded.event_us, rows.present))
            age = _latest(age, (rows.age_us, rows.present))
        return event, age


class ComputedColumn:
    """An on-demand feature; its event time is the greatest and its age the highest of its stored inputs.

    A statement has times of its own. ``found`` marks the rows that there is something to answer with, None for all.
    """

    __slots__ = ("_column", "_found", "_times")

    def __init__(self, column: Column, times: tuple[Column, Column], found: np.ndarray[Any, Any] | None = None) -> None:
        self._column = column
        self._times = times
        self._found = found

    def to_list(self) -> list[Any]:
        return python_values(self._column)

    def column(self) -> Column:
        return self._column

    def statuses(self) -> np.ndarray[Any, Any]:
        values, valid = self._column
        codes = np.full(len(values), PRESENT, dtype=np.int8)
        if valid is not None:
            codes[~valid] = NULL_VALUE
        if self._found is not None:
            codes[~self._found] = NOT_FOUND
        return codes

    def event_us(self) -> Column:
        return self._times[0]

    def age_us(self) -> Column:
        return self._times[1]


@dataclass(slots=True)
class _Answer:
    """How one call is answered: from ``written`` but for the rows ``computed``; without it the function gives all."""

    times: tuple[Column, Column]
    written: ViewRows | None = None
    computed: np.ndarray[Any, Any] | None = None
    found: np.ndarray[Any, Any] | None = None
    features: dict[str, Column] | None = None


def _stated(times: tuple[Column, Column], written: WrittenRows, kept: np.ndarray[Any, Any]) -> tuple[Column, Column]:
    """Put the times of statements, and of rows without any stored input, in place of their inputs'."""
    (event, valid), (age, _) = times
    assert valid is not None
    own = kept & (written.states | ~valid)
    if not own.any():
        return times
    rows = written.rows
    valid = valid | own
    return (np.where(own, rows.decoded.event_us, event), valid), (np.where(own, rows.age_us, age), valid)


def _replaced(column: Column, rows: np.ndarray[Any, Any], computed: Column) -> Column:
    """Put computed values into some rows of a column."""
    (values, valid), (new_values, new_valid) = column, computed
    values = values.copy()
    valid = np.ones(len(values), np.bool_) if valid is None else valid.copy()
    values[rows] = new_values
    valid[rows] = True if new_valid is None else new_valid
    return values, valid


def _latest(
    left: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], right: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    (left_values, left_valid), (right_values, right_valid) = left, right
    both = np.where(left_valid & right_valid, np.maximum(left_values, right_values), left_values)
    return np.where(right_valid & ~left_valid, right_values, both), left_valid | right_valid
