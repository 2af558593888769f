"""The data of the lookups: users and float features, the same for every contestant.

NumPy and pyarrow only: Feast's environment imports it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

__all__ = ["CASES", "VIEWS", "Case", "ViewShape", "draw_users", "view_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewShape:
    """A view of ``features`` float columns."""

    name: str
    features: int
    is_single: bool = False

    @property
    def columns(self) -> list[str]:
        return [f"{self.name}_{number}" for number in range(self.features)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A lookup of ``rows`` users and all features of ``views``."""

    name: str
    rows: int
    views: tuple[ViewShape, ...]

    @property
    def refs(self) -> list[str]:
        return [f"{view.name}:{column}" for view in self.views for column in view.columns]


_TEN = ViewShape(name="ten", features=10)
_LEFT = ViewShape(name="left", features=25)
_RIGHT = ViewShape(name="right", features=25)
_DOUBLE = ViewShape(name="double", features=50)
_SINGLE = ViewShape(name="single", features=50, is_single=True)
VIEWS = {view.name: view for view in (_TEN, _LEFT, _RIGHT, _DOUBLE, _SINGLE)}
CASES = {
    case.name: case
    for case in (
        Case(name="1x10", rows=1, views=(_TEN,)),
        Case(name="100x50", rows=100, views=(_LEFT, _RIGHT)),
        Case(name="1000x50", rows=1000, views=(_LEFT, _RIGHT)),
    )
}


def view_table(view: ViewShape, users: int, *, at: datetime | None = None, first: int = 1) -> pa.Table:
    """Make one row for each of ``users`` users from ``first`` on, as of an hour ago."""
    random = np.random.default_rng(list(view.name.encode()))
    moment = (at or datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    kind = np.float32 if view.is_single else np.float64
    columns = {name: random.normal(size=users).astype(kind) for name in view.columns}
    return pa.table(
        {
            "user_id": np.arange(first, first + users),
            "event_timestamp": pa.array([moment] * users, pa.timestamp("us", "UTC")),
            **columns,
        }
    )


def draw_users(case: Case, users: int, calls: int, *, seed: int) -> Sequence[list[int]]:
    """Draw the users of each of ``calls`` lookups; the same for every contestant with the same seed."""
    random = np.random.default_rng(seed)
    return [random.integers(1, users + 1, case.rows).tolist() for _ in range(calls)]
