"""Stored rows of one request: checked when they come in, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from featurestore.codec.columns import DecodedColumn, DecodedColumns
from featurestore.codec.layout import CODEC, FLAGS_MASK, HEADER_BYTES, HOLDS, TOMBSTONE, Layout
from featurestore.codec.restated import RESTATED, plain_form
from featurestore.codec.stamp import STAMP_BYTES, unstamp, unstamp_one
from featurestore.errors import StateError, UnknownCodec

__all__ = ["FEW_ROWS", "OLDER_CODECS", "DecodedRows", "Upgrade", "decode_rows"]

FEW_ROWS = 16
"""Up to this many rows Python's own numbers are faster than NumPy's fixed cost."""

Upgrade = Callable[[Layout, bytes], bytes]
"""Writes a value of an older codec anew in the present one, its stamp and flags kept."""

OLDER_CODECS: Mapping[int, Upgrade] = {RESTATED: lambda layout, blob: plain_form(blob)}
"""By the high half of their codec byte, the other formats that values may be in. Codec 1 is the first release's."""

_CODECS = bytes((CODEC, CODEC | HOLDS))
_HOLDS_ALL = bytes((CODEC | HOLDS,))
_UNREAD = np.empty(0, np.bool_)


class DecodedRows:
    """Rows in the order they were asked for; those that are missing or tombstones are not present.

    Where a row is not present its times are 0 and it holds nothing. ``kept`` are the values of the rows that are
    present, ``places`` where those stand (None: all are present), ``packed`` their fixed parts side by side.
    """

    def __init__(
        self, *, layout: Layout, count: int, kept: Sequence[bytes], places: np.ndarray | None, packed: bytes
    ) -> None:
        self.layout = layout
        self.count = count
        self.kept = kept
        self.places = places
        self.packed = packed
        self._heads: np.ndarray | None = None
        self._bits: np.ndarray | None = _UNREAD
        self._common: bytes | None = b""

    @cached_property
    def columns(self) -> Mapping[str, DecodedColumn]:
        """Columns by field name, each decoded once."""
        return DecodedColumns(self)

    @property
    def heads(self) -> np.ndarray:
        """The fixed parts of the rows that are present, as records of ``layout.storage``."""
        if self._heads is None:
            self._heads = np.frombuffer(self.packed, self.layout.storage)
        return self._heads

    @property
    def common_stamp(self) -> bytes | None:
        """The stored event and created time that all rows present share, as those of one publication do; else None."""
        if self._common == b"":
            first = self.packed[:STAMP_BYTES]
            if len(self.kept) == 1:
                is_common = True
            elif len(self.kept) <= FEW_ROWS:
                is_common = bool(first) and all(blob.startswith(first) for blob in self.kept)
            elif not self.kept[-1].startswith(first):
                is_common = False
            else:
                stamps = np.frombuffer(self.packed, self.layout.stamps)["stamp"]
                is_common = stamps.tobytes() == first * len(self.kept)
            self._common = first if is_common else None
        return self._common

    @cached_property
    def present(self) -> np.ndarray:
        if self.places is None:
            return np.ones(self.count, np.bool_)
        present = np.zeros(self.count, np.bool_)
        present[self.places] = True
        return present

    @cached_property
    def event_us(self) -> np.ndarray:
        return self.scatter(unstamp(self.heads["event"]))

    @cached_property
    def created_us(self) -> np.ndarray:
        return self.scatter(unstamp(self.heads["created"]))

    @cached_property
    def holds(self) -> np.ndarray:
        return self.scatter((self.heads["codec"] & HOLDS).astype(np.bool_))

    @property
    def oldest_event_us(self) -> int | None:
        """The least event time; None where no row is present."""
        if self.common_stamp is not None:
            return unstamp_one(int.from_bytes(self.common_stamp[:8]))
        return unstamp_one(int.from_bytes(min(self.kept)[:8])) if self.kept else None

    @property
    def oldest_created_us(self) -> int | None:
        if self.common_stamp is not None:
            return unstamp_one(int.from_bytes(self.common_stamp[8:]))
        return unstamp_one(int(self.heads["created"].min())) if self.kept else None

    @property
    def all_hold(self) -> bool:
        """Whether every row that is present holds."""
        return not self.packed[STAMP_BYTES :: self.layout.width].translate(None, _HOLDS_ALL)

    @property
    def bits(self) -> np.ndarray | None:
        """For each row that is present and each field whether the value is there; None where all are."""
        if self._bits is not _UNREAD:
            return self._bits
        layout, packed = self.layout, self.packed
        if len(layout.full) == 1:
            bitmaps = packed[HEADER_BYTES :: layout.width]
        elif len(self.kept) == 1:
            bitmaps = packed[HEADER_BYTES : HEADER_BYTES + len(layout.full)]
        else:
            bitmaps = self.heads["bitmap"].tobytes()
        if bitmaps == layout.full * len(self.kept):
            self._bits = None
        else:
            bits = np.unpackbits(self.heads["bitmap"], axis=1, count=len(layout.fields), bitorder="little")
            self._bits = bits.view(np.bool_)
        return self._bits

    def stamps(self) -> list[bytes | None]:
        """Give each row's event and created time as they are stored, None where no row is present."""
        stamps: list[bytes | None] = [blob[:STAMP_BYTES] for blob in self.kept]
        return stamps if self.places is None else self.spread(stamps)

    def header(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Give present (None: all are), event and created times of each row, for ``digest.inputs_digest``."""
        heads = self.heads
        if self.places is not None:
            return self.present, self.event_us, self.created_us
        return None, unstamp(heads["event"]), unstamp(heads["created"])

    def scatter(self, dense: np.ndarray) -> np.ndarray:
        """Put one value for each row that is present into an array with one for each row; zero elsewhere."""
        if self.places is None:
            return dense
        spread = np.zeros(self.count, dense.dtype)
        spread[self.places] = dense
        return spread

    def spread(self, dense: Sequence[Any]) -> list[Any]:
        """Put one value for each row that is present into a list with one for each row; None elsewhere."""
        if self.places is None:
            return list(dense)
        spread: list[Any] = [None] * self.count
        for place, value in zip(self.places.tolist(), dense, strict=True):
            spread[place] = value
        return spread


def decode_rows(
    layout: Layout, blobs: Sequence[bytes | None], *, older: Mapping[int, Upgrade] = OLDER_CODECS
) -> DecodedRows:
    """Check stored values and tell which rows are present; see ``RowCodec.decode``.

    Values of a codec in ``older`` are written anew in memory; UnknownCodec says that a newer release wrote a value.
    """
    width = layout.width
    kept, places, lengths = _present(width, blobs)
    packed = b"".join([blob[:width] for blob in kept] if layout.variable else kept)
    is_sized = min(lengths, default=width) >= width and (bool(layout.variable) or lengths <= {width})
    if not is_sized or packed[STAMP_BYTES::width].translate(None, _CODECS):
        kept = [
            _readable(layout, blob, row if places is None else int(places[row]), older) for row, blob in enumerate(kept)
        ]
        packed = b"".join([blob[:width] for blob in kept])
    return DecodedRows(layout=layout, count=len(blobs), kept=kept, places=places, packed=packed)


def _present(width: int, blobs: Sequence[bytes | None]) -> tuple[Sequence[bytes], np.ndarray | None, set[int]]:
    """Drop what is absent; give the rest, their places (None when nothing was dropped) and their lengths."""
    if width > HEADER_BYTES:
        try:
            lengths = set(map(len, cast("Sequence[bytes]", blobs)))
        except TypeError:  # None has no length
            lengths = {HEADER_BYTES}
        if HEADER_BYTES not in lengths:
            return cast("Sequence[bytes]", blobs), None, lengths
    rows = [row for row, blob in enumerate(blobs) if blob is not None and not _is_tombstone(blob)]
    kept = [blob for blob in blobs if blob is not None and not _is_tombstone(blob)]
    return kept, None if len(kept) == len(blobs) else np.array(rows, np.intp), set(map(len, kept))


def _is_tombstone(blob: bytes) -> bool:
    return len(blob) == HEADER_BYTES and bool(blob[STAMP_BYTES] & TOMBSTONE)


def _readable(layout: Layout, blob: bytes, place: int, older: Mapping[int, Upgrade]) -> bytes:
    """Give a value of the present codec and this schema."""
    codec = blob[STAMP_BYTES] & ~FLAGS_MASK if len(blob) > STAMP_BYTES else CODEC
    if codec != CODEC:
        upgrade = older.get(codec)
        if upgrade is None:
            known = ", ".join(f"{byte:#04x}" for byte in (*older, CODEC))
            raise UnknownCodec(
                f"the online value of row {place} has codec byte {blob[STAMP_BYTES]:#04x}, valid are {known} and their "
                "flags: a newer release wrote it; upgrade this process",
                row=place,
                codec=codec >> 4,
            )
        blob = upgrade(layout, blob)
    width = layout.width
    is_sized = len(blob) == width or bool(layout.variable and len(blob) > width)
    if not is_sized or blob[STAMP_BYTES] not in _CODECS:
        flags = f" with codec byte {blob[STAMP_BYTES]:#04x}" if is_sized else ""
        raise StateError(
            f"the online value of row {place} is not of this view version's schema: found {len(blob)} bytes{flags}, "
            f"valid are {width}{' or more' if layout.variable else ''}; it was written by another program, or is "
            "damaged: publish the view again",
            row=place,
        )
    return blob
