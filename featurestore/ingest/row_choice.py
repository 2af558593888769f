"""Which of two rows of a written on-demand view stands: the one that is stored, or the one that is to be written."""

from __future__ import annotations

from featurestore.codec.stamp import STAMP_BYTES, is_newer, pack_stamp, stamp_of
from featurestore.serving.written import WrittenRows

__all__ = ["RowChoice"]


class RowChoice:
    """Decides row by row; ``written`` is what is stored, judged by the inputs as they are after the write.

    Of two rows the later one stands, with two exceptions: a statement (see ``serving.written``) wins a tie against a
    computed row, and a computed row wins over a computed one whose inputs are not what they were.
    """

    def __init__(self, written: WrittenRows, *, is_statement: bool) -> None:
        self._written = written
        self._is_statement = is_statement

    def value(self, row: int, value: bytes, stored: bytes | None) -> bytes | None:
        """Give what is to be written; None where the stored row stands.

        What wins without being later gets a stamp right above the stored one: the store compares nothing else.
        """
        if stored is None or not self._written.rows.present[row]:
            return value if is_newer(value, stored) else None
        if value == stored or not self._wins(row, value, stored):
            return None
        if is_newer(value, stored):
            return value
        event_us, created_us, _ = stamp_of(stored)
        return pack_stamp(event_us, created_us + 1) + value[STAMP_BYTES:]

    def _wins(self, row: int, value: bytes, stored: bytes) -> bool:
        is_tie = value[:STAMP_BYTES] == stored[:STAMP_BYTES]
        if bool(self._written.states[row]) is not self._is_statement and is_tie:
            return self._is_statement
        is_outdated = not self._is_statement and not self._written.states[row] and not self._written.holds[row]
        return is_outdated or is_newer(value, stored)
