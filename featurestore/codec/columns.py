"""Columns of decoded rows, as arrays with their validity and as Python lists."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.codec.fixed import ToPython
from featurestore.codec.layout import Layout
from featurestore.codec.variable import decode_bodies
from featurestore.intervals import from_micros
from featurestore.spec.dtypes import DType

if TYPE_CHECKING:
    import pyarrow as pa

    from featurestore.codec.rows import DecodedRows

__all__ = ["DecodedColumn", "DecodedColumns", "ListReader"]

_MICROS = np.dtype("datetime64[us]")
_VALUES_A_RUN = 40
"""``struct`` takes a time for each value, NumPy one for each run that is as long as for this many values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedColumn:
    """One value for each row; where ``valid`` is False the row is absent or the value null, and ``values`` is filler.

    ``values`` has the natural NumPy type, with datetime64[us] for timestamps and datetime64[D] for dates; text, bytes,
    decimals, lists and maps are Python objects. Both arrays are to be read only.
    """

    dtype: DType
    values: np.ndarray
    valid: np.ndarray

    def to_list(self) -> list[Any]:
        """Give Python values, None where not valid; timestamps are aware in UTC."""
        values: list[Any] = (self.values.view(np.int64) if self.values.dtype == _MICROS else self.values).tolist()
        if self.values.dtype == _MICROS:
            values = [from_micros(micros) for micros in values]
        for row in np.flatnonzero(~self.valid).tolist():
            values[row] = None
        return values

    def to_arrow(self) -> pa.Array[Any]:
        """Give an array of the dtype's Arrow type."""
        from featurestore.codec.arrow import as_arrow

        return as_arrow(self.values, self.valid, self.dtype)


class DecodedColumns(Mapping[str, DecodedColumn]):
    """Columns by field name, each decoded once."""

    def __init__(self, rows: DecodedRows) -> None:
        self._rows = rows
        self._decoded: dict[str, DecodedColumn] = {}

    def __getitem__(self, name: str) -> DecodedColumn:
        column = self._decoded.get(name)
        if column is None:
            column = self._decoded[name] = self._decode(self._rows.layout.numbers[name])
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows.layout.numbers)

    def __len__(self) -> int:
        return len(self._rows.layout.numbers)

    def _decode(self, number: int) -> DecodedColumn:
        rows, layout = self._rows, self._rows.layout
        dtype, fixed = layout.fields[number].dtype, layout.fixed[number]
        if fixed is not None:
            dense = fixed.to_numpy(rows.heads[f"c{number}"])
        else:
            dense = np.empty(len(rows.kept), object)
            dense[:] = _bodies(rows, number)
        bits = rows.bits
        valid = rows.present if bits is None else rows.scatter(bits[:, number])
        return DecodedColumn(dtype=dtype, values=rows.scatter(dense), valid=valid)


class ListReader:
    """Reads some fields of a layout as Python lists, all in one go: NumPy by runs, ``struct`` for few values of many.

    Neighbouring fields of one type are a run: one matrix instead of a column for each.
    """

    def __init__(self, layout: Layout, numbers: Sequence[int]) -> None:
        self.numbers = tuple(sorted(set(numbers)))
        self._slots = {layout.fields[number].name: slot for slot, number in enumerate(self.numbers)}
        self._struct = _struct_of(layout, self.numbers)
        runs = _runs(layout, self.numbers)
        self._runs = tuple((str(run[0]), len(run) > 1) for run in runs)
        members: Any = {
            "names": [name for name, _ in self._runs],
            "formats": [_run_format(layout, run) for run in runs],
            "offsets": [layout.offsets[run[0]] for run in runs],
            "itemsize": layout.width,
        }
        self._record: np.dtype[Any] = np.dtype(members)
        self._conversions: list[tuple[int, ToPython]] = []
        self._bodies: list[tuple[int, int]] = []
        for slot, number in enumerate(self.numbers):
            fixed = layout.fixed[number]
            if fixed is None:
                self._bodies.append((slot, number))
            elif fixed.to_python is not None:
                self._conversions.append((slot, fixed.to_python))

    def slot(self, name: str) -> int:
        """Say which of the lists is a field's."""
        return self._slots[name]

    def read(self, rows: DecodedRows) -> list[list[Any]]:
        """Give a new list for each field, in order of ``numbers``; None where the row is absent or the value null."""
        if not self.numbers:
            return []
        lists = self._dense(rows)
        for slot, convert in self._conversions:
            lists[slot] = convert(lists[slot])
        for slot, number in self._bodies:
            lists[slot] = _bodies(rows, number)
        bits = rows.bits
        if bits is not None:
            for slot, number in enumerate(self.numbers):
                for row in np.flatnonzero(~bits[:, number]).tolist():
                    lists[slot][row] = None
        return lists if rows.places is None else [rows.spread(dense) for dense in lists]

    def _dense(self, rows: DecodedRows) -> list[list[Any]]:
        count = len(rows.kept)
        if not count:
            return [[] for _ in self.numbers]
        if self._struct is not None:
            if count == 1:
                return [[value] for value in self._struct.unpack(rows.packed)]
            if len(self._runs) > 1 + count * len(self.numbers) // _VALUES_A_RUN:
                return list(map(list, zip(*self._struct.iter_unpack(rows.packed), strict=True)))
        records = np.frombuffer(rows.packed, self._record)
        lists: list[list[Any]] = []
        for name, is_run in self._runs:
            if is_run:
                lists += records[name].T.tolist()
            else:
                lists.append(records[name].tolist())
        return lists


def _bodies(rows: DecodedRows, number: int) -> list[Any]:
    layout, heads = rows.layout, rows.heads
    before = layout.variable.index(number) - 1
    ends = heads[f"c{number}"].tolist()
    starts = heads[f"c{layout.variable[before]}"].tolist() if before >= 0 else [0] * len(ends)
    valid = None if rows.bits is None else rows.bits[:, number].tolist()
    return decode_bodies(rows.kept, layout.width, starts, ends, valid, layout.fields[number].dtype)


def _struct_of(layout: Layout, numbers: Sequence[int]) -> struct.Struct | None:
    """Make the format of a whole fixed part in which only these fields are read; None where one has no letter."""
    parts, at = ["<"], 0
    for number in numbers:
        fixed = layout.fixed[number]
        code = "I" if fixed is None else fixed.code
        if not code:
            return None
        parts.append(f"{layout.offsets[number] - at}x{code}")
        at = layout.offsets[number] + struct.calcsize("<" + code)
    return struct.Struct("".join([*parts, f"{layout.width - at}x"])) if numbers else None


def _runs(layout: Layout, numbers: Sequence[int]) -> list[list[int]]:
    def run_of(pair: tuple[int, int]) -> tuple[int, str]:
        place, number = pair
        fixed = layout.fixed[number]
        return number - place, "" if fixed is None else fixed.storage.str if fixed.code else f"long {number}"

    return [[number for _, number in run] for _, run in groupby(enumerate(numbers), run_of)]


def _run_format(layout: Layout, run: Sequence[int]) -> Any:
    fixed = layout.fixed[run[0]]
    storage: Any = "<u4" if fixed is None else fixed.storage
    return storage if len(run) == 1 else (storage, (len(run),))
