"""Problems of the rows of one write: kinds with counts, the first rows of each by number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featurestore.errors import Problem

__all__ = ["Checks"]

_NAMED_ROWS = 100


@dataclass(slots=True, kw_only=True)
class _Kind:
    message: str
    rows: list[int] = field(default_factory=list)


class Checks:
    """Collects what is wrong with ``count`` rows that are written to ``target``.

    A column's problem refuses the whole write; a row's problem refuses the row.
    """

    def __init__(self, target: str, count: int) -> None:
        self._target = target
        self._columns: list[Problem] = []
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self.invalid: np.ndarray[Any, Any] = np.zeros(count, np.bool_)

    def refuse(self, name: str, message: str) -> None:
        """Note a problem of a whole column, or of the frame."""
        self._columns.append(Problem(location=f"write to {self._target}", object=name, message=message))

    def add(self, name: str, kind: str, rows: Iterable[int], message: str) -> None:
        """Note rows with a problem of one kind; the first row's ``message`` stands for all of them."""
        for row in rows:
            self.invalid[row] = True
            self._kinds.setdefault((name, kind), _Kind(message=message)).rows.append(row)

    @property
    def is_refused(self) -> bool:
        """Say whether a column's problem keeps any row from being written."""
        return bool(self._columns)

    def problems(self) -> list[Problem]:
        """Give column problems, then one problem for each column and kind of row problem."""
        found = list(self._columns)
        for (name, _), kind in self._kinds.items():
            rows = sorted(set(kind.rows))
            shown = ", ".join(map(str, rows[:_NAMED_ROWS]))
            more = f" and {len(rows) - _NAMED_ROWS} more" if len(rows) > _NAMED_ROWS else ""
            count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
            message = f"{kind.message}; {count}: {shown}{more}"
            found.append(Problem(location=f"write to {self._target}", object=name, message=message))
        return found

    def reasons(self) -> dict[int, list[str]]:
        """Give for each invalid row what is wrong with it."""
        reasons: dict[int, list[str]] = {}
        for (name, _), kind in self._kinds.items():
            for row in kind.rows:
                reasons.setdefault(row, []).append(f"{name}: {kind.message}")
        return reasons
