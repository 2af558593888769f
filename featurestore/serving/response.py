"""The answer of a lookup: values, statuses, event times and ages, turned into Python objects when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, assert_never

import numpy as np

from featurestore.intervals import from_micros
from featurestore.ondemand.arrays import Column, function_input
from featurestore.retrieval.plan import OnDemandOutput, Output, PredictionOutput, StoredOutput
from featurestore.serving.entity_rows import EntityColumns, to_list
from featurestore.serving.frame import Frame
from featurestore.serving.predictions import PredictionAnswer, PredictionRows
from featurestore.serving.rows import STATUSES, FeatureStatus
from featurestore.serving.snapshot import BoundPlan

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["FeatureDict", "OnlineResponse", "OutputColumn"]

_MICROS = np.dtype("datetime64[us]")


class OutputColumn(Protocol):
    """One output of an answer; times are microseconds, statuses places in ``rows.STATUSES``."""

    def to_list(self) -> list[Any]: ...

    def column(self) -> Column: ...

    def statuses(self) -> np.ndarray[Any, Any]: ...

    def event_us(self) -> Column: ...

    def age_us(self) -> Column: ...


class FeatureDict(dict[str, list[Any]]):
    """Values by output name; ``[...]`` and ``get`` also take the reference, such as ``user_data:ctr``.

    ``get`` gives the default for a feature that has no value in any row.
    """

    __slots__ = ("_keys", "_names")

    def __init__(self, values: Mapping[str, list[Any]], names: Mapping[str, str], keys: Sequence[str]) -> None:
        super().__init__(values)
        self._names = names
        self._keys = keys

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureDict, (dict(self), self._names, self._keys)

    def __missing__(self, name: str) -> list[Any]:
        return super().__getitem__(self._names[name])

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._names

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        values = self[name]
        if name not in self._keys and all(value is None for value in values):
            return default
        return values


class OnlineResponse:
    """Features and predictions for each entity row, in the order of the request.

    ``predictions`` has one list for each prediction view: ``(status, age, model_version, predicted_at)`` by row.
    """

    __slots__ = ("_bound", "_columns", "_dict", "_frame", "_keys", "_predictions")

    def __init__(
        self, bound: BoundPlan, frame: Frame, predictions: Sequence[PredictionRows], request: EntityColumns
    ) -> None:
        self._bound = bound
        self._frame = frame
        self._predictions = predictions
        self._keys = {name: request.columns[name] for name in bound.plan.key_columns}
        self._columns: list[OutputColumn] | None = None
        self._dict: dict[str, list[Any]] | None = None

    def to_dict(self, include_event_timestamps: bool = False) -> FeatureDict:
        """Give ``{column: [value of each row]}``, entity keys first, None where there is no value.

        With event timestamps, each feature has a second entry ``<name>__ts``.
        """
        if self._dict is None:
            self._dict = self._values()
        answer = FeatureDict(self._dict, self._bound.plan.names, tuple(self._keys))
        if include_event_timestamps:
            answer.update({f"{name}__ts": times for name, times in self.event_timestamps.items()})
        return answer

    def __getitem__(self, name: str) -> list[Any]:
        return self.to_dict()[name]

    def __contains__(self, name: object) -> bool:
        return name in self.to_dict()

    def get(self, name: str, default: Any = None) -> Any:
        """Give a feature's values by name or reference; the default where no row has a value."""
        return self.to_dict().get(name, default)

    @property
    def statuses(self) -> dict[str, list[FeatureStatus]]:
        return {o.name: [STATUSES[code] for code in c.statuses().tolist()] for o, c in self._pairs()}

    @property
    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """From when each value holds; None where there is no row."""
        return {output.name: _instants(column.event_us()) for output, column in self._pairs()}

    @property
    def ages(self) -> dict[str, list[timedelta | None]]:
        """How long ago each value was last known to hold."""
        return {output.name: _durations(column.age_us()) for output, column in self._pairs()}

    @property
    def predictions(self) -> dict[str, list[PredictionAnswer]]:
        return {rows.view.name: rows.answers() for rows in self._predictions}

    def to_numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """Give one array for each column: nulls are NaN in float64, masked for other types."""
        arrays: dict[str, np.ndarray[Any, Any]] = {name: np.asarray(column) for name, column in self._keys.items()}
        for output, column in self._pairs():
            arrays[output.name] = function_input(column.column())
        return arrays

    def to_arrow(self) -> pa.Table:
        """Give a table with the features' own types."""
        import pyarrow as pa

        from featurestore.codec.arrow import as_arrow

        arrays = {name: pa.array(to_list(column)) for name, column in self._keys.items()}
        for output, column in self._pairs():
            arrays[output.name] = as_arrow(*column.column(), output.dtype)
        return pa.table(arrays)

    def to_df(self) -> pd.DataFrame:
        """Give a pandas frame; whole numbers and flags with nulls keep their type (pandas' nullable ones)."""
        import pandas as pd

        frame = {name: pd.Series(to_list(column)) for name, column in self._keys.items()}
        for output, column in self._pairs():
            frame[output.name] = _series(column)
        return pd.DataFrame(frame)

    def _values(self) -> dict[str, list[Any]]:
        """Give Python lists: stored values as they were read, all fields of a read in one go."""
        bound = self._bound
        values = {name: to_list(column) for name, column in self._keys.items()}
        lists = [rows.lists() for rows in self._frame.rows]
        if bound.direct is not None and all(rows.is_as_stored() for rows in self._predictions):
            values.update(zip(bound.names, [lists[read][slot] for read, slot in bound.direct], strict=True))
            return values
        given: set[tuple[int, int]] = set()
        for number, (output, place) in enumerate(zip(bound.plan.outputs, bound.places, strict=True)):
            if place is None or (
                isinstance(output, PredictionOutput) and not self._predictions[output.prediction].is_as_stored()
            ):
                values[output.name] = self._column(number).to_list()
            else:
                found = lists[place[0]][place[1]]
                values[output.name] = found if place not in given else list(found)
                given.add(place)
        return values

    def _column(self, number: int) -> OutputColumn:
        output = self._bound.plan.outputs[number]
        match output:
            case StoredOutput():
                return self._frame.rows[output.read].column(output.feature)
            case OnDemandOutput():
                return self._frame.column(output.call, output.feature)
            case PredictionOutput():
                return self._predictions[output.prediction].column(output.feature)
            case _:
                assert_never(output)

    @property
    def count(self) -> int:
        """The number of entity rows."""
        return self._frame.count

    def outputs(self) -> Sequence[tuple[Output, OutputColumn]]:
        """Give the outputs with their columns, as arrays."""
        return self._pairs()

    def _pairs(self) -> Sequence[tuple[Output, OutputColumn]]:
        if self._columns is None:
            self._columns = [self._column(number) for number in range(len(self._bound.plan.outputs))]
        return list(zip(self._bound.plan.outputs, self._columns, strict=True))


def _series(column: OutputColumn) -> pd.Series[Any]:
    """Give a pandas series; numbers, flags and instants are not touched singly."""
    import pandas as pd

    values, valid = column.column()
    null = np.zeros(len(values), dtype=bool) if valid is None else ~valid
    match values.dtype.kind:
        case "i":
            return pd.Series(pd.arrays.IntegerArray(values.copy(), null))
        case "b":
            return pd.Series(pd.arrays.BooleanArray(values.copy(), null))
        case "f":
            values = values.copy()
            values[null] = np.nan
            return pd.Series(values)
        case "M" if values.dtype == _MICROS:
            values = values.copy()
            values[null] = np.datetime64("NaT")
            instants: Any = pd.Series(values)
            return instants.dt.tz_localize("UTC")  # type: ignore[no-any-return]
        case _:
            return pd.Series(column.to_list(), dtype="object")


def _instants(column: Column) -> list[datetime | None]:
    values, valid = column
    mask = [True] * len(values) if valid is None else valid.tolist()
    return [from_micros(micros) if ok else None for micros, ok in zip(values.tolist(), mask, strict=True)]


def _durations(column: Column) -> list[timedelta | None]:
    values, valid = column
    mask = [True] * len(values) if valid is None else valid.tolist()
    return [timedelta(microseconds=micros) if ok else None for micros, ok in zip(values.tolist(), mask, strict=True)]
