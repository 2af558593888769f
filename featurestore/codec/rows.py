"""Decoded rows of one request: headers at once, columns when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from featurestore.codec.arrow import arrow_type
from featurestore.codec.layout import CODEC, HEADER_BYTES, HOLDS, TOMBSTONE, Layout
from featurestore.codec.stamp import STAMP_BYTES, unstamp
from featurestore.codec.variable import decode_body
from featurestore.errors import StateError
from featurestore.intervals import from_micros
from featurestore.ir.nodes import FieldNode
from featurestore.spec.dtypes import Array, DType, Map

__all__ = ["DecodedColumn", "DecodedColumns", "DecodedRows", "decode_rows"]

_CODECS = bytes((CODEC, CODEC | HOLDS))
_MICROS = np.dtype("datetime64[us]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedColumn:
    """One value for each row; where ``valid`` is False the row is absent or the value null, and ``values`` is filler.

    ``values`` has the natural NumPy type, with datetime64[us] for timestamps and datetime64[D] for dates; text, bytes,
    decimals, lists and maps are Python objects. Both arrays are to be read only.
    """

    dtype: DType
    values: np.ndarray
    valid: np.ndarray
    is_complete: bool = False
    """All values are known to be valid, without a look at each."""

    def to_list(self) -> list[Any]:
        """Give Python values, None where not valid; timestamps are aware in UTC."""
        values: list[Any] = (self.values.view(np.int64) if self.values.dtype == _MICROS else self.values).tolist()
        if self.values.dtype == _MICROS:
            values = [from_micros(micros) for micros in values]
        if not (self.is_complete or self.valid.all()):
            for row in np.flatnonzero(~self.valid).tolist():
                values[row] = None
        return values

    def to_arrow(self) -> pa.Array[Any]:
        """Give an array of the dtype's Arrow type."""
        target = arrow_type(self.dtype)
        if self.values.dtype == object:
            return pa.array([_to_arrow_value(value, self.dtype) for value in self.to_list()], target)
        return pa.array(self.values, target, mask=~self.valid)


class DecodedRows:
    """Rows in the order they were asked for; ``present`` is False for missing values and tombstones.

    Where a row is not present its times are 0 and it holds nothing. Headers too are decoded when first asked for.
    """

    __slots__ = ("_created_us", "_event_us", "_heads", "_holds", "_scatter", "columns", "count", "present")

    def __init__(self, *, present: np.ndarray, heads: np.ndarray, scatter: _Scatter, columns: DecodedColumns) -> None:
        self.count = len(present)
        self.present = present
        self.columns = columns
        self._heads = heads
        self._scatter = scatter
        self._event_us: np.ndarray | None = None
        self._created_us: np.ndarray | None = None
        self._holds: np.ndarray | None = None

    @property
    def event_us(self) -> np.ndarray:
        if self._event_us is None:
            self._event_us = self._scatter(unstamp(self._heads["event"]))
        return self._event_us

    @property
    def created_us(self) -> np.ndarray:
        if self._created_us is None:
            self._created_us = self._scatter(unstamp(self._heads["created"]))
        return self._created_us

    @property
    def holds(self) -> np.ndarray:
        if self._holds is None:
            self._holds = self._scatter((self._heads["codec"] & HOLDS).astype(np.bool_))
        return self._holds


def decode_rows(layout: Layout, fields: tuple[FieldNode, ...], blobs: Sequence[bytes | None]) -> DecodedRows:
    """Read fixed parts of all rows at once; see ``RowCodec.decode``."""
    count = len(blobs)
    kept, rows, lengths = _present(layout, blobs)
    heads = _heads(layout, kept, rows, lengths)
    present = np.ones(count, np.bool_) if rows is None else np.zeros(count, np.bool_)
    if rows is not None:
        present[rows] = True
    scatter = _Scatter(count=count, rows=rows)
    columns = DecodedColumns(layout=layout, fields=fields, heads=heads, blobs=kept, present=present, scatter=scatter)
    return DecodedRows(present=present, heads=heads, scatter=scatter, columns=columns)


def _present(layout: Layout, blobs: Sequence[bytes | None]) -> tuple[Sequence[bytes], np.ndarray | None, set[int]]:
    """Drop what is absent; give the rest, their places (None when nothing was dropped) and their lengths."""
    width = layout.storage.itemsize
    lengths = {-1 if blob is None else len(blob) for blob in blobs}
    if lengths == {width} and width > HEADER_BYTES:
        return cast("Sequence[bytes]", blobs), None, lengths
    rows = [row for row, blob in enumerate(blobs) if blob is not None and not _is_tombstone(blob)]
    kept = [blob for blob in blobs if blob is not None and not _is_tombstone(blob)]
    return kept, None if len(kept) == len(blobs) else np.array(rows, np.intp), set(map(len, kept))


def _is_tombstone(blob: bytes) -> bool:
    return len(blob) == HEADER_BYTES and bool(blob[STAMP_BYTES] & TOMBSTONE)


def _heads(layout: Layout, blobs: Sequence[bytes], rows: np.ndarray | None, lengths: set[int]) -> np.ndarray:
    width = layout.storage.itemsize
    valid = range(width, 1 << 32) if layout.variable else range(width, width + 1)
    for length in lengths:
        if length not in valid:
            row = next(row for row, blob in enumerate(blobs) if len(blob) == length)
            raise _foreign(rows, row, f"{length} bytes, valid are {width}{' or more' if layout.variable else ''}")
    joined = b"".join(blobs if lengths <= {width} else [blob[:width] for blob in blobs])
    heads = np.frombuffer(joined, layout.storage)
    if joined[STAMP_BYTES::width].translate(None, _CODECS):
        row = int(np.flatnonzero((heads["codec"] & ~np.uint8(HOLDS)) != CODEC)[0])
        raise _foreign(rows, row, f"codec byte {int(heads['codec'][row]):#04x}, valid is {CODEC:#04x}")
    return heads


def _foreign(rows: np.ndarray | None, row: int, found: str) -> StateError:
    place = row if rows is None else int(rows[row])
    return StateError(
        f"the online value of row {place} is not of this view version's schema: found {found}; "
        "it was written by another release or program: publish the view again",
        row=place,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scatter:
    """Puts one value for each present row into an array with one for each row asked for; zero elsewhere."""

    count: int
    rows: np.ndarray | None

    def __call__(self, dense: np.ndarray) -> np.ndarray:
        if self.rows is None:
            return dense
        spread = np.zeros(self.count, dense.dtype)
        spread[self.rows] = dense
        return spread


class DecodedColumns(Mapping[str, DecodedColumn]):
    """Columns by field name, each decoded once."""

    def __init__(
        self,
        *,
        layout: Layout,
        fields: tuple[FieldNode, ...],
        heads: np.ndarray,
        blobs: Sequence[bytes],
        present: np.ndarray,
        scatter: _Scatter,
    ) -> None:
        self._layout = layout
        self._fields = {field.name: (number, field.dtype) for number, field in enumerate(fields)}
        self._heads = heads
        self._blobs = blobs
        self._present = present
        self._scatter = scatter
        self._bits: np.ndarray | None = None
        self._decoded: dict[str, DecodedColumn] = {}

    def __getitem__(self, name: str) -> DecodedColumn:
        column = self._decoded.get(name)
        if column is None:
            number, dtype = self._fields[name]
            column = self._decoded[name] = self._decode(number, dtype)
        return column

    def to_list(self, name: str) -> list[Any]:
        """Give a column's Python values; without arrays in between where every value is there."""
        number, _ = self._fields[name]
        fixed = self._layout.fixed[number]
        if fixed is None or self._scatter.rows is not None or self._valid(number) is not None:
            return self[name].to_list()
        return fixed.to_list(self._heads[f"c{number}"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def _decode(self, number: int, dtype: DType) -> DecodedColumn:
        valid = self._valid(number)
        fixed = self._layout.fixed[number]
        dense = self._bodies(number, dtype, valid) if fixed is None else fixed.to_numpy(self._heads[f"c{number}"])
        if valid is None:
            is_complete = self._scatter.rows is None
            return DecodedColumn(dtype=dtype, values=self._scatter(dense), valid=self._present, is_complete=is_complete)
        return DecodedColumn(dtype=dtype, values=self._scatter(dense), valid=self._scatter(valid))

    def _valid(self, number: int) -> np.ndarray | None:
        """Say for each present row whether the value is there; None when all values of all columns are."""
        if self._bits is None:
            packed = self._heads["bitmap"]
            if packed.tobytes() == self._layout.full * len(packed):
                self._bits = np.empty(0, np.bool_)
            else:
                bits = np.unpackbits(packed, axis=1, count=len(self._fields), bitorder="little")
                self._bits = bits.view(np.bool_)
        return self._bits[:, number] if self._bits.ndim == 2 else None

    def _bodies(self, number: int, dtype: DType, valid: np.ndarray | None) -> np.ndarray:
        width = self._layout.storage.itemsize
        before = self._layout.variable.index(number) - 1
        ends = self._heads[f"c{number}"].tolist()
        starts = self._heads[f"c{self._layout.variable[before]}"].tolist() if before >= 0 else [0] * len(ends)
        values = np.empty(len(ends), object)
        for row, (blob, start, end) in enumerate(zip(self._blobs, starts, ends, strict=True)):
            if valid is None or valid[row]:
                values[row] = decode_body(blob[width + start : width + end], dtype)
        return values


def _to_arrow_value(value: Any, dtype: DType) -> Any:
    """Write maps as pairs, as Arrow's builder takes them."""
    match dtype:
        case Map(value=inner) if value is not None:
            return [(key, _to_arrow_value(item, inner)) for key, item in value.items()]
        case Array(element=inner) if value is not None:
            return [_to_arrow_value(item, inner) for item in value]
        case _:
            return value
