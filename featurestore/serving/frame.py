"""All that one request read, as inputs for on-demand functions and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np

from featurestore.errors import EntityKeyMissing
from featurestore.ondemand.arrays import Column, ValueMismatch, python_values, read_column
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
from featurestore.serving.rows import NULL_VALUE, PRESENT, ViewRows

__all__ = ["ComputedColumn", "Frame"]


class Frame:
    """The rows of a request and the on-demand features over them, each computed once."""

    __slots__ = ("_computed", "_plan", "_request", "_resolve", "_rows")

    def __init__(
        self, plan: RequestPlan, rows: Sequence[ViewRows], request: EntityColumns, resolve: Resolve = resolve_code
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._request = request
        self._resolve = resolve
        self._computed: dict[int, dict[str, Column]] = {}

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
        """Give the features of an on-demand view."""
        computed = self._computed.get(index)
        if computed is None:
            call = self._plan.calls[index]
            inputs = {argument.name: self.argument(argument) for argument in call.arguments}
            computed = self._computed[index] = run_on_demand(call.view, inputs, self._resolve)
        return computed

    def column(self, index: int, feature: str) -> ComputedColumn:
        """Give an on-demand feature as an output."""
        return ComputedColumn(self.call(index)[feature], self._times(self._plan.calls[index]))

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
    """An on-demand feature; its event time is the greatest and its age the highest of its stored inputs."""

    __slots__ = ("_column", "_times")

    def __init__(self, column: Column, times: tuple[Column, Column]) -> None:
        self._column = column
        self._times = times

    def to_list(self) -> list[Any]:
        return python_values(self._column)

    def column(self) -> Column:
        return self._column

    def statuses(self) -> np.ndarray[Any, Any]:
        values, valid = self._column
        if valid is None:
            return np.full(len(values), PRESENT, dtype=np.int8)
        return np.where(valid, np.int8(PRESENT), np.int8(NULL_VALUE))

    def event_us(self) -> Column:
        return self._times[0]

    def age_us(self) -> Column:
        return self._times[1]


def _latest(
    left: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], right: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    (left_values, left_valid), (right_values, right_valid) = left, right
    both = np.where(left_valid & right_valid, np.maximum(left_values, right_values), left_values)
    return np.where(right_valid & ~left_valid, right_values, both), left_valid | right_valid
